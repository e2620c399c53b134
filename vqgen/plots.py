"""Figures of matplotlib: images with the names of their rows and columns, scatters, histograms."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vqgen import figures

PADDING = 2
MAX_CLASSES = 20
"""Classes that colours can tell apart."""


def labelled_rows(
    rows: dict[str, Float[Tensor, "_ _ h w"]], title: str, columns: Sequence[str] | None = None
) -> Figure:
    """Images in rows, with the name of each row on its left and that of each column above.

    Args:
        rows: as many images in [-1, 1] in each; grey and RGB may be mixed.
        title: of the figure.
        columns: names of the columns; None for none.
    """
    batch = next(iter(rows.values()))
    picture = figures.rows(*rows.values(), padding=PADDING)
    h, w = (size + PADDING for size in batch.shape[2:])
    column = max(0.85, 0.09 * max(map(len, columns or [""])))
    width = min(16.0, max(4.0, column * len(batch)))
    figure = Figure(figsize=(width, max(1.2, width * picture.shape[1] / picture.shape[2])), layout="constrained")
    axes = show(figure.add_subplot(), picture)
    axes.set_yticks([(i + 0.5) * h for i in range(len(rows))], list(rows))
    axes.set_xticks([(i + 0.5) * w for i in range(len(batch))] if columns else [], columns or [])
    axes.xaxis.tick_top()
    figure.suptitle(title, fontsize=10)
    return figure


def titled(picture: Float[Tensor, "3 H W"], title: str) -> Figure:
    """A picture under a title."""
    figure = Figure(figsize=(6, 6 * picture.shape[1] / picture.shape[2] + 0.4), layout="constrained")
    show(figure.add_subplot(), picture).set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=10)
    return figure


def show(axes: Axes, picture: Float[Tensor, "3 H W"]) -> Axes:
    """Draw a picture in [-1, 1] with neither frame nor marks."""
    axes.imshow(figures.to_uint8(picture).cpu().permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    return axes


def scatter(axes: Axes, points: Float[Tensor, "n 2"], label: Int[Tensor, " n"] | None, names: Sequence[str]) -> Axes:
    """Points of the plane, coloured by label where there are any.

    Args:
        axes: where to draw.
        points: of the plane.
        label: class of each point, or None.
        names: of the classes, for the legend; up to `MAX_CLASSES` are told apart.
    """
    points, n = points.cpu(), len(names)
    size, alpha = (3, 0.5) if len(points) > 500 else (12, 0.8)
    if label is None or not 0 < n <= MAX_CLASSES:
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=alpha, linewidths=0)
        return axes
    colours = colormaps["tab10" if n <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    for i, name in enumerate(names):
        chosen = points[label.cpu() == i]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=size, alpha=alpha, linewidths=0, color=colours[i], label=name)
    return axes


def legend(figure: Figure, axes: Axes) -> None:
    """The names of the classes, right of the figure, if the axes have any."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        drawn = figure.legend(handles, names, loc="outside right center", frameon=False, markerscale=4, fontsize=9)
        for handle in drawn.legend_handles:
            handle.set_alpha(1.0)  # type: ignore[union-attr]


def normal_histogram(axes: Axes, values: Float[Tensor, " n"], name: str) -> None:
    """The histogram of numbers as a density, with that of N(0, 1) as a line."""
    edges = np.linspace(-4, 4, 41)
    grid = np.linspace(-4, 4, 161)
    axes.hist(values.cpu().clamp(-4, 4).numpy(), edges.tolist(), density=True, color="#9ecae1")
    axes.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color="black", linewidth=1)
    axes.set_title(name, fontsize=8, pad=2)
    axes.tick_params(labelsize=7)


def principal_plane(x: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
    """Points projected onto the plane of their greatest variance (PCA); a line keeps a second coordinate of 0.

    The sign of each axis is chosen so that its largest weight is positive.
    """
    centred = x - x.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    plane = centred @ (axes * largest.sign()).T
    return torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))
