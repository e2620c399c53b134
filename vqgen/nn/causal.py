"""Convolutions that see only what comes earlier in raster order.

Every layer here is one geometry: a window of ``rows`` x ``columns`` taps, centred in its columns, whose
bottom row is the position's own row, and of which only the first ``num_taps`` in raster order exist.
Causality is the length of that list: there is no mask to forget, and taps that must not be seen are neither
stored nor trained (except by `MaskedConv2d`, which keeps the published parameter counts).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class RasterConv2d(nn.Module):
    """Convolution over the first ``num_taps`` taps of a ``rows`` x ``columns`` window, bias everywhere.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        rows: height of the window: the position's own row and ``rows - 1`` rows above it.
        columns: width of the window, odd; the position stands in the middle.
        num_taps: how many taps of the window, in raster order, are seen; at least 1.
    """

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, num_taps: int):
        super().__init__()
        if columns % 2 == 0:
            raise ValueError(f"columns={columns} has no middle: give an odd number.")
        if not 0 < num_taps <= rows * columns:
            raise ValueError(f"num_taps={num_taps} must lie in 1..{rows * columns}, the taps of the window.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.rows, self.columns, self.num_taps = rows, columns, num_taps
        self.weight = nn.Parameter(torch.empty(out_channels, self.stored_taps, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    @property
    def stored_taps(self) -> int:
        """Taps held as parameters: those that are seen, and no others."""
        return self.num_taps

    def reset_parameters(self) -> None:
        """Uniform with the variance of 1 / (3 fan-in), the fan-in counted over the taps that are seen."""
        bound = 1 / math.sqrt(self.num_taps * self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @property
    def taps(self) -> Float[Tensor, "o n i"]:
        """The weights of the taps that are seen, in raster order."""
        return self.weight[:, : self.num_taps]

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """All positions at once."""
        reach = self.columns // 2
        if self.num_taps <= self.columns:  # one row of the window: a convolution exactly as wide as the taps
            top, kernel = self.rows - 1, self.taps.unflatten(1, (1, self.num_taps))
            x = F.pad(x, (reach, self.num_taps - 1 - reach, top, -top))
        else:
            used_rows = math.ceil(self.num_taps / self.columns)
            unseen = used_rows * self.columns - self.num_taps
            kernel = F.pad(self.taps, (0, 0, 0, unseen)).unflatten(1, (used_rows, self.columns))
            x = F.pad(x, (reach, reach, self.rows - 1, used_rows - self.rows))
        return F.conv2d(x, kernel.permute(0, 3, 1, 2), self.bias)

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"{self.in_channels}, {self.out_channels}, {self.num_taps} of {self.rows}x{self.columns}"


class CausalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above, and its own row up to and with its own position (mask B)."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int):
        num_taps = (rows - 1) * columns + columns // 2 + 1
        super().__init__(in_channels, out_channels, rows, columns, num_taps)


class PastConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above, and its own row up to but without its own position (mask A)."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int):
        num_taps = (rows - 1) * columns + columns // 2
        super().__init__(in_channels, out_channels, rows, columns, num_taps)


class VerticalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above and the whole of its own row: the vertical stack's inner layers."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int):
        super().__init__(in_channels, out_channels, rows, columns, rows * columns)


class PastVerticalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above and nothing of its own row: the vertical stack's first layer."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int):
        super().__init__(in_channels, out_channels, rows, columns, (rows - 1) * columns)


class MaskedConv2d(RasterConv2d):
    """Causal convolution that stores a whole square kernel, as published models count it (mask B).

    The taps behind the mask are parameters that nothing reads.
    """

    own_position = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        self.kernel_size = kernel_size
        num_taps = kernel_size * kernel_size // 2 + self.own_position
        super().__init__(in_channels, out_channels, kernel_size // 2 + 1, kernel_size, num_taps)

    @property
    def stored_taps(self) -> int:
        """The whole square."""
        return self.kernel_size * self.kernel_size


class OneHotConv2d(MaskedConv2d):
    """Strictly causal convolution (mask A) of one-hot codes; `lookup` is the same from the codes themselves.

    A convolution of one-hot vectors adds up rows of a table, one row for each tap, so `lookup` reads
    ``num_taps`` rows where the convolution multiplies with ``num_taps * num_embeddings`` of them.
    """

    own_position = 0

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b o h w"]:
        """The convolution of ``one_hot(codes)``."""
        reach, top = self.columns // 2, self.rows - 1
        outside = self.in_channels
        padded = F.pad(codes, (reach, reach, top, 0), value=outside)
        windows = padded.unfold(1, self.rows, 1).unfold(2, self.columns, 1).flatten(3)[..., : self.num_taps]
        bags = windows + torch.arange(self.num_taps, device=codes.device) * (outside + 1)
        table = F.pad(self.taps.permute(1, 2, 0), (0, 0, 0, 1)).flatten(0, 1)
        features = F.embedding_bag(bags.flatten(0, 2), table, mode="sum") + self.bias
        return features.unflatten(0, codes.shape).permute(0, 3, 1, 2)


class Pointwise(RasterConv2d):
    """1x1 convolution: sees its own position."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, rows=1, columns=1, num_taps=1)
