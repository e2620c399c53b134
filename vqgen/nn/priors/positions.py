"""Where a position stands, as numbers for a network."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

WAVELENGTHS = (4, 8, 16, 32, 64, 128, 256)
POSITION_CHANNELS = 4 * len(WAVELENGTHS)


def centres(size: int, whole: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " n"]:
    """Where the cells of a row of `size` stand in one of `whole` cells: 0, 1, 2, ... where it is that row itself."""
    return (torch.arange(size, dtype=dtype, device=device) + 0.5) * (whole / size) - 0.5


def position_features(
    grid: Sequence[int], like: Tensor, whole: Sequence[int] | None = None
) -> Float[Tensor, "1 p h w"]:
    """Sines and cosines of row and column, counted from the top left: the size of the map does not change them.

    Cells of a coarser grid than the `whole` one stand where their centres are in it.
    """
    device = torch.device("cpu") if like.device.type == "mps" else like.device  # mps has no float64
    frequencies = 2 * math.pi / torch.tensor(WAVELENGTHS, dtype=torch.float64, device=device)
    rows, columns = (
        centres(n, of, torch.float64, device) * frequencies.unsqueeze(1)
        for n, of in zip(grid, whole or grid, strict=True)
    )
    size = (-1, grid[0], grid[1])
    rows, columns = rows.unsqueeze(2).expand(size), columns.unsqueeze(1).expand(size)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()]).unsqueeze(0).to(like.dtype).to(like.device)
