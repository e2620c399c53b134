"""The table, figures and pictures of an evaluation."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from vqgen.errors import format_number
from vqgen.measure.rejection import TradeOff
from vqgen.pictures import figures, plots


def table(values: dict[str, float]) -> str:
    """Names and figures in two columns."""
    width = max(map(len, values), default=0)
    return "\n".join(f"{name:<{width}}  {format_number(value):>12}" for name, value in values.items())


def code_usage(counts: dict[str, Int[Tensor, " _"]], title: str) -> Figure:
    """How often each code of each level occurs, the most frequent first."""
    plot = Figure(figsize=(6, 3.8), layout="constrained")
    axes = plot.subplots()
    for name, count in counts.items():
        share = np.sort(count.numpy() / count.sum().item())[::-1]
        used = share[share > 0]
        axes.plot(np.arange(1, len(used) + 1), used, label=f"{name}: {len(used)} of {len(share)} codes in use")
        axes.axhline(1 / len(share), color="0.6", linewidth=0.8, linestyle=":")
    axes.set(yscale="log", xlabel="code, the most frequent first", ylabel="part of all positions")
    axes.set_title("Use of the codebook (dotted: all codes equally often)", fontsize=10)
    axes.legend()
    return plots.heading(plot, title)


def position_map(maps: dict[str, Float[Tensor, "_ _"]], title: str, given_label: bool) -> Figure:
    """Mean nats of the code at each position, `given_label` or not, one map for each level."""
    per_code = "nats per code given the label" if given_label else "nats per code"
    plot = Figure(figsize=(max(5.0, 4.2 * len(maps)), 3.9), layout="constrained")
    for axes, (name, nats) in zip(plot.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        image = axes.imshow(nats.numpy(), cmap="viridis")
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{name}: {float(nats.mean()):.3f} {per_code}", fontsize=10)
        plot.colorbar(image, ax=axes, shrink=0.8, label="mean nats at the position")
    return plots.heading(plot, title)


def neighbour_rows(
    samples: Float[Tensor, "n c h w"], neighbours: list[Float[Tensor, "k c h w"]]
) -> Float[Tensor, "3 H W"]:
    """Each row a sample and, after a gap, the training images nearest to it, the nearest first."""
    gap = torch.ones_like(samples[0])
    cells = [cell for sample, near in zip(samples, neighbours, strict=True) for cell in (sample, gap, *near)]
    return figures.grid(torch.stack([cell.expand(3, -1, -1) for cell in cells]), columns=len(neighbours[0]) + 2)


def before_and_after(
    x: Float[Tensor, "n c h w"],
    classes: Int[Tensor, " n"],
    kept: Bool[Tensor, " n"],
    columns: int,
    names: Sequence[str],
) -> dict[str, Float[Tensor, "_ c h w"]]:
    """A row for each class by name (four, if there is one class): some of its samples, a gap, and some that are kept.

    There are `columns` samples on each side of the gap. A class beyond `names` goes by its number.
    """
    numbers = classes.unique().tolist()
    gap, rows = torch.ones_like(x[0]), {}
    for row, number in enumerate(numbers * 4 if len(numbers) == 1 else numbers[:10]):
        turn = row if len(numbers) == 1 else 0
        cells: list[Tensor] = []
        for members, space in ((classes == number, 1), ((classes == number) & kept, 0)):
            found = x[members][turn * columns : (turn + 1) * columns]
            cells += [*found, *[gap] * (columns - len(found) + space)]
        name = names[number] if number < len(names) else f"class {number}"
        rows[f"{name} {row + 1}" if len(numbers) == 1 else name] = torch.stack(cells)
    return rows


def curve(points: TradeOff, network: str, title: str) -> Figure:
    """Precision and recall against the part of the samples that is kept."""
    kept, precision, recall, number = points
    plot = Figure(figsize=(6, 4.1), layout="constrained")
    axes = plot.subplots()
    axes.plot(kept, precision, "o-", label="precision", clip_on=False)
    axes.plot(kept, recall, "s-", label="recall", clip_on=False)
    axes.set(xscale="log", xlabel="part of the samples kept", ylabel=f"by the {network}", ylim=(0, 1))
    axes.set_xticks(kept, [f"{part:g}" for part in kept])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set_title("Keeping the samples that the classifier is surest of", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    return plots.heading(plot, title, f"each point is measured on {number:,} samples")
