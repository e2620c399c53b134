"""The codebooks: which codes are used, where their vectors lie, what each decodes to."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from vqgen.measure.metrics.codebook import usage
from vqgen.pictures import figures, plots
from vqgen.protocols import Tokenizer
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least


@dataclass
class Codebook(Task):
    """For each level: how often each code occurs, the code vectors in a plane, and an image of each code.

    The plane is that of the vectors' principal axes; a disc's area grows with the number of times the code occurs, and
    its colour is that of the code maps. The image of a code is the middle of what a map of this code alone decodes to,
    with the other levels (if any) as zero vectors; the codes in the picture go from the most used down.

    Args:
        num_images: test images whose codes are counted.
        num_codes: images of the so many most used codes.
    """

    num_images: int = 2000
    num_codes: int = 256

    def __post_init__(self) -> None:
        at_least(1, num_images=self.num_images, num_codes=self.num_codes)

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """Codes."""
        return "" if trained.levels else "a model with codes, a VQ-VAE"

    def make(self, trained: TrainedRun) -> Outcome:
        """A figure of all levels and, of each, the pictures of its codes."""
        model, counts, title = trained.coder, code_counts(trained, self.num_images), trained.title()
        figure = Figure(figsize=(10, 3.6 * len(counts) + 0.4), layout="constrained")
        lines = figure.subplots(len(counts), 2, squeeze=False)
        pictures, drawn, records = {}, {}, {}
        arrays: dict[str, ndarray] = {}
        for i, (level, count, (left, right)) in enumerate(zip(trained.levels, counts, lines, strict=True)):
            vectors, most = model.code_vectors(i).cpu(), count.argsort(descending=True)[: self.num_codes]
            name = f"codes_{level}"
            pictures[name] = figures.grid(code_images(model, i, most), ground=0.5)
            note = f"what {len(most)} codes of the {level} level decode to, the most used first"
            drawn[f"{name}_labelled"] = plots.titled({"": pictures[name]}, title, note)
            measured = usage(count)
            record = {key: float(value) for key, value in measured._asdict().items()}
            records[level] = record | {"num_embeddings": len(count)}
            arrays |= {f"codebook/{level}_vectors": vectors.numpy(), f"codebook/{level}_counts": count.numpy()}
            _usage(left, count)
            used = f"{measured.codebook_usage:.1%} of {len(count)} codes used, perplexity {measured.perplexity:.1f}"
            left.set_title(f"{level}: {used}", size=9)
            _plane(right, count, vectors)
            right.set_title(f"{level}: code vectors, disc area by uses, colour as in code maps", size=9)
        drawn["codebook"] = plots.heading(figure, title, f"codes of the first {self.num_images:,} test images")
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
    columns //= model.codes_per_place
    h, w = min(height, max(8, 2 * height // rows)), min(width, max(8, 2 * width // columns))
    top, left = (height - h) // 2, (width - w) // 2
    images = []
    for part in codes.to(model.device).split(32):
        images.append(model.code_images(level, part)[:, :, top : top + h, left : left + w].cpu())
    return torch.cat(images)


def _usage(axes: Axes, counts: Int[Tensor, " k"]) -> None:
    """The share of each code, the most used first."""
    share = (counts / counts.sum()).sort(descending=True).values
    axes.bar(range(len(share)), share.numpy(), width=1.0, color="#6baed6")
    axes.axhline(1 / len(share), color="black", linewidth=0.8, linestyle="--", label="all equally often")
    axes.set(xlabel="code, by number of uses", ylabel="share of all codes", xlim=(-0.5, len(share) - 0.5))
    axes.legend(frameon=False, fontsize=9)


def _plane(axes: Axes, counts: Int[Tensor, " k"], vectors: Float[Tensor, "k d"]) -> None:
    """The code vectors; unused codes as crosses."""
    plane = plots.principal_plane(vectors)
    points, used = plane.points, counts > 0
    area, colours = 15 + 300 * counts[used] / counts.max(), figures.code_colours(len(counts))[used].numpy()
    axes.scatter(points[used, 0], points[used, 1], s=area, c=colours, alpha=0.8, linewidths=0)
    axes.scatter(points[~used, 0], points[~used, 1], s=20, c="black", marker="x", linewidths=0.8, label="unused")
    plots.name_principal_axes(axes, plane)
    if not used.all():
        axes.legend(frameon=False, fontsize=9)
