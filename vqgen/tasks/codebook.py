"""The codebooks: which codes are used, where their vectors lie, what each decodes to."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vqgen.measure.metrics.codebook import usage
from vqgen.pictures import figures, plots
from vqgen.protocols import Tokenizer
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least


class _Level(NamedTuple):
    """What is shown of a level."""

    name: str
    counts: Int[Tensor, " k"]
    vectors: Float[Tensor, "k d"]
    colours: Float[Tensor, "k 3"]


class Codebook(Task):
    """For each level: how often each code occurs, the code vectors in a plane, and an image of each code.

    The plane is that of the vectors' principal axes; a disc's area grows with the number of times the code occurs, and
    its colour is that of the code maps. The image of a code is the middle of what a map of this code alone decodes to,
    with the other levels (if any) as zero vectors; the codes in the picture go from the most used down.

    Args:
        num_images: test images whose codes are counted.
        num_codes: images of the so many most used codes.
    """

    def __init__(self, num_images: int = 2000, num_codes: int = 256) -> None:
        at_least(1, num_images=num_images, num_codes=num_codes)
        self.num_images, self.num_codes = num_images, num_codes

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """Codes."""
        return "" if trained.levels else "a model with codes, a VQ-VAE"

    def make(self, trained: TrainedRun) -> Outcome:
        """A figure of all levels and, of each, the pictures of its codes."""
        model = trained.coder
        counts = code_counts(trained, self.num_images)
        levels = [
            _Level(name, c, model.code_vectors(i), figures.code_colours(len(c)))
            for i, (name, c) in enumerate(zip(trained.levels, counts, strict=True))
        ]
        pictures, drawn, records = {}, {}, {}
        for i, level in enumerate(levels):
            most = level.counts.argsort(descending=True)[: self.num_codes]
            name, picture = f"codes_{level.name}", figures.grid(code_images(model, i, most), ground=0.5)
            note = f"what {len(most)} codes of the {level.name} level decode to, the most used first"
            pictures[name] = picture
            drawn[f"{name}_labelled"] = plots.titled({"": picture}, trained.title(), note)
            measured = {key: float(value) for key, value in usage(level.counts)._asdict().items()}
            records[level.name] = measured | {"num_embeddings": len(level.counts)}
        arrays = {f"codebook/{x.name}_vectors": x.vectors.cpu().numpy() for x in levels}
        arrays |= {f"codebook/{x.name}_counts": x.counts.cpu().numpy() for x in levels}
        drawn["codebook"] = _figure(levels, records, trained.title(), self.num_images)
        return Outcome(pictures, arrays, plots=drawn, records={"codebook": records})


def code_counts(trained: TrainedRun, num_images: int) -> list[Int[Tensor, " k"]]:
    """How often each code of each level occurs in the first test images."""
    model = trained.coder
    counts = [torch.zeros(k, dtype=torch.long) for k in model.num_embeddings]
    for batch in trained.batches(num_images):
        for total, codes in zip(counts, model.encode(batch.x), strict=True):
            total += torch.bincount(codes.flatten().cpu(), minlength=len(total))
    return counts


def code_images(model: Tokenizer, level: int, codes: Int[Tensor, " n"]) -> Float[Tensor, "n c _ _"]:
    """Two cells each way from the middle of the image of a map of one code, for each of the codes."""
    (rows, columns), (_, height, width) = model.grids[level], model.shape
    h, w = min(height, max(8, 2 * height // rows)), min(width, max(8, 2 * width // columns))
    top, left = (height - h) // 2, (width - w) // 2
    images = []
    for part in codes.to(model.device).split(32):
        maps: list[Tensor | None] = [None] * len(model.grids)
        maps[level] = part[:, None, None].expand(-1, rows, columns)
        images.append(model.decode(maps)[:, :, top : top + h, left : left + w].cpu())
    return torch.cat(images)


def _figure(levels: list[_Level], records: dict[str, dict[str, Any]], title: str, num_images: int) -> Figure:
    """A line for each level: usage, and the plane of the code vectors."""
    figure = Figure(figsize=(10, 3.6 * len(levels) + 0.4), layout="constrained")
    axes = figure.subplots(len(levels), 2, squeeze=False)
    for level, (left, right) in zip(levels, axes, strict=True):
        record = records[level.name]
        _usage(left, level)
        used, perplexity = record["codebook_usage"], record["perplexity"]
        left.set_title(
            f"{level.name}: {used:.1%} of {len(level.counts)} codes used, perplexity {perplexity:.1f}", size=9
        )
        _plane(right, level)
        right.set_title(f"{level.name}: code vectors, disc area by uses, colour as in code maps", size=9)
    return plots.heading(figure, title, f"codes of the first {num_images:,} test images")


def _usage(axes: Axes, level: _Level) -> None:
    """The share of each code, the most used first."""
    share = (level.counts / level.counts.sum()).sort(descending=True).values
    axes.bar(range(len(share)), share.numpy(), width=1.0, color="#6baed6")
    axes.axhline(1 / len(share), color="black", linewidth=0.8, linestyle="--", label="all equally often")
    axes.set(xlabel="code, by number of uses", ylabel="share of all codes", xlim=(-0.5, len(share) - 0.5))
    axes.legend(frameon=False, fontsize=9)


def _plane(axes: Axes, level: _Level) -> None:
    """The code vectors; unused codes as crosses."""
    plane = plots.principal_plane(level.vectors.cpu())
    points, used = plane.points, level.counts > 0
    area = 15 + 300 * level.counts[used] / level.counts.max()
    axes.scatter(points[used, 0], points[used, 1], s=area, c=level.colours[used].numpy(), alpha=0.8, linewidths=0)
    axes.scatter(points[~used, 0], points[~used, 1], s=20, c="black", marker="x", linewidths=0.8, label="unused")
    plots.name_principal_axes(axes, plane)
    if not used.all():
        axes.legend(frameon=False, fontsize=9)
