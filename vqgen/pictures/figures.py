"""Pictures: image grids at native resolution, and code maps in colour."""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vqgen.batch import to_bytes
from vqgen.protocols import Autoencoder, Tokenizer

RESOLUTION = 300
"""Dots an inch of matplotlib's figures, for print."""


def grid(
    images: Float[Tensor, "b c h w"], columns: int | None = None, padding: int | None = None, ground: float = 1.0
) -> Float[Tensor, "3 H W"]:
    """Images in [-1, 1], grey or RGB, side by side, row by row.

    Args:
        columns: images in a row; None makes the grid about square.
        padding: pixels between images and around them; None takes `gap`.
        ground: value of these pixels: 1 white, 0 grey.
    """
    b, _, h, w = images.shape
    padding = gap(w) if padding is None else padding
    columns = columns or math.ceil(math.sqrt(b))
    rows = math.ceil(b / columns)
    cells = images.new_full((rows * columns, 3, h + padding, w + padding), ground)
    cells[:b, :, padding:, padding:] = images
    sheet = cells.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    return F.pad(sheet, (0, padding, 0, padding), value=ground)


def gap(width: int) -> int:
    """Pixels between images of this width: 2, and more between large ones."""
    return max(2, width // 32)


def rows(*images: Float[Tensor, "_ _ h w"]) -> Float[Tensor, "3 H W"]:
    """One row of the grid for each batch (same number of images in each; grey and RGB may be mixed)."""
    coloured = [batch.cpu().expand(-1, 3, -1, -1) for batch in images]
    return grid(torch.cat(coloured), columns=len(images[0]))


def code_map(codes: Int[Tensor, "b h w"], num_embeddings: int, size: tuple[int, int]) -> Float[Tensor, "b 3 H W"]:
    """Codes as colours in [-1, 1], each position a tile, enlarged to about `size` = (height, width).

    Neighbouring code numbers mean nothing, so colours are spread by the golden angle rather than along a ramp.
    """
    image = code_colours(num_embeddings)[codes.cpu()].permute(0, 3, 1, 2) * 2 - 1
    return F.interpolate(image, size=size, mode="nearest" if codes.shape[2] <= size[1] else "area")


def code_colours(num_embeddings: int) -> Float[Tensor, "k 3"]:
    """A colour for each code, in [0, 1]."""
    hue = (torch.arange(num_embeddings) * 0.381966) % 1.0
    colours = torch.tensor(colormaps["hsv"](hue.numpy())[:, :3], dtype=torch.float32)
    lightness = 0.45 + 0.55 * ((torch.arange(num_embeddings) * 0.7548777) % 1.0)
    return colours * lightness[:, None]


ERROR_SCALE = "absolute error: black where exact, white from 1 on, of the 2 from black to white"


def error_map(x: Float[Tensor, "b c h w"], x_hat: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
    """Absolute error averaged over channels: -1 (black) where exact, 1 (white) for an error of 1 or more."""
    return (x - x_hat).abs().mean(1, keepdim=True).clamp(max=1) * 2 - 1


def heat_map(values: Float[Tensor, "b h w"], most: float, size: tuple[int, int]) -> Float[Tensor, "b 3 H W"]:
    """Values from 0 (black) to `most` (white) as colours in [-1, 1], each a tile, enlarged to `size`."""
    colours = colormaps["inferno"]((values / max(most, 1e-12)).clamp(0, 1).numpy())[..., :3]
    image = torch.from_numpy(colours).float().permute(0, 3, 1, 2) * 2 - 1
    return F.interpolate(image, size=size, mode="nearest" if values.shape[2] <= size[1] else "area")


def save_png(image: Float[Tensor, "c h w"], path: Path, scale: int = 1) -> Path:
    """Write an image in [-1, 1] as PNG, each pixel `scale` pixels wide; makes the folder. Returns the path."""
    pixels = to_bytes(image).cpu().numpy().transpose(1, 2, 0)
    pixels = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(path)
    return path


def save_plot(plot: Figure, path: Path) -> Path:
    """Write a matplotlib figure as PNG at a resolution for print; makes the folder. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(path, dpi=RESOLUTION, bbox_inches="tight")
    return path


def scale_for(image: Float[Tensor, "c h w"], target: int = 768) -> int:
    """Whole factor that brings the longer side of a small picture to about `target` pixels on a screen."""
    return max(1, target // max(image.shape[-2:]))


def reconstructions(model: Autoencoder, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "3 H W"]:
    """Rows: originals, reconstructions, error maps and, for a tokenizer, the code map of each level."""
    return rows(*reconstruction_rows(model, x).values())


def reconstruction_rows(model: Autoencoder, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b _ h w"]]:
    """The rows of `reconstructions` by their names."""
    x_hat = model.reconstruct(x)
    named = {"original": x, "reconstruction": x_hat, "absolute error": error_map(x, x_hat)}
    if isinstance(model, Tokenizer):
        size = (x.shape[2], x.shape[3])
        for name, c, k in zip(model.level_names, model.encode(x), model.num_embeddings, strict=True):
            named[f"{name} codes {c.shape[1]}x{c.shape[2]}"] = code_map(c, k, size)
    return named
