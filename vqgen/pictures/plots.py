"""Figures of matplotlib: images with the names of their rows and columns, scatters, histograms."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vqgen.batch import to_bytes
from vqgen.pictures import figures
from vqgen.pictures.figures import RESOLUTION

MAX_CLASSES = 20
"""Classes that colours can tell apart."""

WIDTH, HEIGHT, LEAST, CELL = 8.5, 14.0, 3.5, 0.85
"""Of images in rows: largest width and height, smallest width, and the side of one where there is room; inches."""

LETTER, LINE = 0.075, 0.16
"""Mean width of a letter of 9 points, and height of a line of them; inches."""

MINUS = "\u2212"


class Plane(NamedTuple):
    """Points projected onto two axes, and each axis's share of the variance."""

    points: Float[Tensor, "n 2"]
    share: Float[Tensor, "2"]


def labelled_rows(
    rows: dict[str, Float[Tensor, "_ _ h w"]], title: str, columns: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """Images in [-1, 1] in rows, with the name of each row on its left and that of each column above.

    There are as many images in each row; grey and RGB may be mixed. The note under the title says what is shown.
    """
    batch = next(iter(rows.values()))
    picture = figures.rows(*rows.values())
    h, w = (size + figures.gap(batch.shape[3]) for size in batch.shape[2:])
    n, longest = len(batch), max(len(line) for name in rows for line in name.split("\n"))
    roomy = min(2 * CELL, max(CELL, _room(columns or ""), LEAST / n))
    width = n * min(roomy, WIDTH / n, HEIGHT / len(rows) * w / h)
    size = (width + 0.2 + LETTER * longest, width * picture.shape[1] / picture.shape[2] + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = show(figure.add_subplot(), picture, width)
    axes.set_yticks([(i + 0.5) * h for i in range(len(rows))], list(rows))
    figure.set_figheight(figure.get_figheight() + _name_columns(axes, columns or [], width))
    return heading(figure, title, note)


def _name_columns(axes: Axes, names: Sequence[str], width: float) -> float:
    """Write names above columns of images that are `width` inches together, slanted where they are long.

    Returns the height that they need, in inches; 0 where there are none.
    """
    step = axes.get_xlim()[1] / max(1, len(names))
    axes.set_xticks([(i + 0.5) * step for i in range(len(names))], names)
    axes.xaxis.tick_top()
    slanted = bool(names) and _room(names) > width / len(names)
    for label in axes.get_xticklabels() if slanted else []:
        label.set(rotation=40, ha="left", rotation_mode="anchor")
    return 0.15 + 0.65 * _room(names) if slanted else 0.25 if names else 0.0


def _room(names: Sequence[str]) -> float:
    """Inches that the longest of some names needs."""
    return LETTER * (0.5 + max(map(len, names), default=0))


def heading(figure: Figure, title: str, note: str = "") -> Figure:
    """Write the title and under it a note of what is shown, broken to the figure's width, which grows as high."""
    width = max(30, int(figure.get_figwidth() / LETTER))
    lines = []
    for text in (title, note):  # as few lines as fit, of about the same length, so that no word stands alone
        least = len(textwrap.wrap(text, width))
        lines += next(found for w in range(1, width + 1) if len(found := textwrap.wrap(text, w)) <= least)
    figure.set_figheight(figure.get_figheight() + LINE * len(lines))
    figure.suptitle("\n".join(lines), fontsize=9)
    return figure


def titled(
    pictures: dict[str, Float[Tensor, "3 _ _"]], title: str, note: str = "", columns: Sequence[str] = ()
) -> Figure:
    """Pictures of one shape side by side below a title and a note that says what is shown.

    Args:
        pictures: by name, written above each; "" for none.
        title, note: of the figure.
        columns: names of the columns of images in each picture; none where it is empty.
    """
    _, h, w = next(iter(pictures.values())).shape
    width = min(WIDTH if columns else WIDTH / max(1.5, len(pictures)), HEIGHT * w / h)
    figure = Figure(figsize=(width * len(pictures), width * h / w), layout="constrained")
    drawn = figure.subplots(1, len(pictures), squeeze=False)[0]
    above = 2 * LINE if any(pictures) else 0.0
    for axes, (name, picture) in zip(drawn, pictures.items(), strict=True):
        show(axes, picture, width).set(xticks=[], yticks=[])
        named = _name_columns(axes, columns, width)
        axes.set_title(name, fontsize=9)
    figure.set_figheight(figure.get_figheight() + above + named)
    return heading(figure, title, note)


def show(axes: Axes, picture: Float[Tensor, "3 H W"], width: float) -> Axes:
    """Draw a picture in [-1, 1], `width` inches wide, with neither frame nor marks.

    Its pixels stay squares, except where it has more of them than there are dots.
    """
    large = picture.shape[2] > RESOLUTION * width
    axes.imshow(to_bytes(picture).cpu().permute(1, 2, 0).numpy(), interpolation="antialiased" if large else "nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    return axes


def number(value: float, form: str = ".3g") -> str:
    """A number in a format of Python's, with the minus sign of matplotlib; zero has no sign."""
    text = f"{value:{form}}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", MINUS)


def spread(mean: float, std: float) -> str:
    """A mean and the standard deviation around it."""
    return f"{number(mean, '+.2f')} ± {number(std, '.2f')}"


def scatter(axes: Axes, points: Float[Tensor, "n 2"], label: Int[Tensor, " n"] | None, names: Sequence[str]) -> Axes:
    """Points of the plane, coloured by `label`, the class of each, where there are at most `MAX_CLASSES` names."""
    points, n = points.cpu(), len(names)
    size, alpha = (3, 0.5) if len(points) > 5000 else (8, 0.7) if len(points) > 500 else (16, 0.8)
    if label is None or not 0 < n <= MAX_CLASSES:
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=alpha, linewidths=0)
        return axes
    colours = colormaps["tab10" if n <= 10 else "tab20"]
    for i, name in enumerate(names):
        chosen = points[label.cpu() == i]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=size, alpha=alpha, linewidths=0, color=colours(i), label=name)
    return axes


def size_for(points: Float[Tensor, "n 2"]) -> tuple[float, float]:
    """Width and height in inches that suit points drawn at one scale, with a legend on the right."""
    extent = points.amax(0) - points.amin(0)
    return 6.2, 0.5 + 4.5 * min(1.2, max(0.5, float(extent[1] / extent[0].clamp(min=1e-9))))


def legend(figure: Figure, axes: Axes) -> None:
    """The names of the classes, right of the figure, if the axes have any."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        drawn = figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=9, handletextpad=0.2)
        for handle in filter(None, drawn.legend_handles):
            handle.set(alpha=1.0, sizes=[40])


def normal_histogram(axes: Axes, values: Float[Tensor, " n"], name: str) -> None:
    """The histogram of numbers as a density, with that of N(0, 1) as a line."""
    edges = np.linspace(-4, 4, 41)
    grid = np.linspace(-4, 4, 161)
    axes.hist(values.cpu().clamp(-4, 4).numpy(), edges.tolist(), density=True, color="#9ecae1")
    axes.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color="black", linewidth=1)
    axes.set_title(name, fontsize=8, pad=4)
    axes.tick_params(labelsize=8)
    axes.set_xticks([-3, 0, 3])


def principal_plane(x: Float[Tensor, "n d"]) -> Plane:
    """Points projected onto the plane of their greatest variance (PCA); a line keeps a second coordinate of 0."""
    centred = x - x.mean(0)
    plane, share = centred @ principal_axes(x).T, torch.linalg.svdvals(centred).square()
    share = (share / share.sum())[:2]
    missing = (0, 2 - plane.shape[1])
    return Plane(torch.nn.functional.pad(plane, missing), torch.nn.functional.pad(share, missing))


def principal_axes(x: Float[Tensor, "n d"]) -> Float[Tensor, "_ d"]:
    """The two directions, or the only one, of the greatest variance, each with its largest weight positive."""
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:2]
    return axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()


def name_principal_axes(axes: Axes, plane: Plane) -> None:
    """Labels that say each axis's share of the variance; one scale for both."""
    first, second = (f"{float(share):.0%}" for share in plane.share)
    axes.set(xlabel=f"first principal axis ({first} of the variance)", ylabel=f"second principal axis ({second})")
    axes.set_aspect("equal", adjustable="datalim")
