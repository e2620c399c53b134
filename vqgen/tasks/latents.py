"""The latent space: where the images lie in it, and what its points decode to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from vqgen.devices import fork_rng
from vqgen.errors import UserError
from vqgen.pictures import figures, plots
from vqgen.protocols import LatentAutoencoder, Variational
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, lacks_latents, not_empty, sheet

NORMAL = torch.distributions.Normal(0.0, 1.0)


class LatentPoints(NamedTuple):
    """Latent vectors of images, with their labels."""

    z: Float[Tensor, "n d"]
    label: Int[Tensor, " n"] | None


@dataclass
class Latents(Task):
    """Latent vectors of test images by label; of a VAE these are draws from the posterior.

    Of two dimensions: the scatter of z and (for a VAE) of its normal CDF, which is even over the square where z is
    N(0, I), and the images decoded from a grid over the plane. Of more: histograms against N(0, 1), for an AE of z less
    its mean and over its standard deviation, and the projection onto the two principal axes.

    Args:
        num_images: test images; 10,000 fill the plane.
        side: images on a side of the decoded plane.
        num_dimensions: histograms, of the first so many dimensions.
        seed: of the draws from the posterior.
        points: latent vectors to decode, and nothing else is made.
    """

    num_images: int = 10000
    side: int = 20
    num_dimensions: int = 24
    seed: int = 0
    points: Sequence[Sequence[float]] | None = None
    lacks = staticmethod(lacks_latents)

    def __post_init__(self) -> None:
        at_least(2, num_images=self.num_images)
        at_least(1, side=self.side, num_dimensions=self.num_dimensions)
        not_empty(points=self.points)

    def make(self, trained: TrainedRun) -> Outcome:
        """The figures, and z and labels as arrays."""
        if self.points is not None:
            return _decoded(trained, self.points)
        points = latent_points(trained, self.num_images, self.seed)
        model, drawn = trained.latent, isinstance(trained.autoencoder, Variational)
        title = trained.title(self.seed if drawn else None)
        arrays = {"latents/z": points.z.cpu().numpy()}
        if points.label is not None:
            arrays["latents/label"] = points.label.cpu().numpy()
        if model.latent_dim != 2:
            histograms = _histograms(points.z[:, : self.num_dimensions], drawn, title)
            projection = _projection(points, trained.class_names, title)
            return Outcome(plots={"histograms": histograms, "latents": projection}, arrays=arrays)
        axes = plane_axes(points.z, self.side, drawn)
        images = figures.grid(decoded_plane(model, axes), columns=self.side, padding=0)
        scatter = _scatter(points, trained.class_names, drawn, title)
        plane = _plane(images, axes, drawn, title)
        return Outcome({"plane": images}, arrays, plots={"latents": scatter, "plane_labelled": plane})


def _decoded(trained: TrainedRun, points: Sequence[Sequence[float]]) -> Outcome:
    """Images of latent vectors."""
    wrong = [list(point) for point in points if len(point) != trained.latent.latent_dim]
    if wrong:
        raise UserError(f"points=[{wrong[0]}]: expected vectors of {trained.latent.latent_dim} numbers")
    images = trained.latent.decode(torch.tensor(points, dtype=torch.float32, device=trained.device))
    return sheet("points", {"": images}, trained.title(), note="decoded from latent vectors")


def latent_points(trained: TrainedRun, num_images: int, seed: int) -> LatentPoints:
    """Latent vectors of the first test images: draws from a VAE's posterior, or what an AE's encoder gives."""
    model = trained.latent
    labels: list[Tensor] = []
    z: list[Tensor] = []
    with fork_rng(model.device):
        torch.manual_seed(seed)
        for batch in trained.batches(num_images):
            z.append(model.infer(batch.x).z if isinstance(model, Variational) else model.encode(batch.x))
            labels += [] if batch.label is None else [batch.label]
    return LatentPoints(torch.cat(z), torch.cat(labels) if labels else None)


def plane_axes(z: Float[Tensor, "n 2"], side: int, normal: bool) -> Float[Tensor, "2 s"]:
    """`side` values along both axes of the plane of latent vectors `z`.

    They are quantiles of N(0, 1) at even probabilities (`normal`), or even steps over the middle 98 % of `z`.
    """
    share = (torch.arange(side) + 0.5) / side
    if normal:
        return NORMAL.icdf(share).expand(2, -1)
    low, high = torch.quantile(z.cpu(), torch.tensor([0.01, 0.99]), dim=0)
    return low[:, None] + (high - low)[:, None] * share


def decoded_plane(model: LatentAutoencoder, axes: Float[Tensor, "2 s"]) -> Float[Tensor, "n c h w"]:
    """Images of the points of a grid, row by row from the highest value of the second axis down."""
    y, x = torch.meshgrid(axes[1].flip(0), axes[0], indexing="ij")
    z = torch.stack([x.flatten(), y.flatten()], 1).to(model.device)
    return torch.cat([model.decode(part) for part in z.split(256)])


def _scatter(points: LatentPoints, names: Sequence[str], normal: bool, title: str) -> Figure:
    """z and, beside it, its normal CDF."""
    z = points.z.cpu()
    figure = Figure(figsize=(10.2, 4.6) if normal else plots.size_for(z), layout="constrained")
    axes = figure.subplots(1, 2 if normal else 1, squeeze=False)[0]
    plots.scatter(axes[0], z, points.label, names).set(xlabel="z[0]", ylabel="z[1]")
    if normal:
        edge = 1.05 * float(z.abs().max())
        axes[0].set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
        cdf = plots.scatter(axes[1], NORMAL.cdf(z), points.label, names)
        cdf.set(xlabel="Φ(z[0])", ylabel="Φ(z[1])", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    else:
        axes[0].set_aspect("equal", adjustable="datalim")
    plots.legend(figure, axes[0])
    note = "; left: z, right: its normal CDF, where N(0, I) fills the square evenly" if normal else ""
    return plots.heading(figure, title, _shown(points) + note)


def _shown(points: LatentPoints) -> str:
    return f"{len(points.z):,} test images" + (", by label" if points.label is not None else "")


def _plane(picture: Float[Tensor, "3 H W"], axes: Float[Tensor, "2 s"], normal: bool, title: str) -> Figure:
    """The decoded plane with its coordinates."""
    figure = Figure(figsize=(7.7, 7 * picture.shape[1] / picture.shape[2] + 0.5), layout="constrained")
    drawn = plots.show(figure.add_subplot(), picture, 7.0)
    side = axes.shape[1]
    chosen = sorted({0, side // 4, side // 2, 3 * side // 4, side - 1})
    high, wide = (size / side for size in picture.shape[1:])
    across, down = ([plots.number(float(line[i]), "+.2f") for i in chosen] for line in (axes[0], axes[1].flip(0)))
    drawn.set_xticks([(i + 0.5) * wide for i in chosen], across)
    drawn.set_yticks([(i + 0.5) * high for i in chosen], down)
    drawn.set(xlabel="z[0]", ylabel="z[1]")
    spacing = "at even probabilities of N(0, 1)" if normal else "evenly over the middle 98 % of the images"
    return plots.heading(figure, title, f"decoded from points of the plane, spaced {spacing}")


def _histograms(z: Float[Tensor, "n d"], normal: bool, title: str) -> Figure:
    """A histogram of each dimension, or where z need not be normal of its standard score, with that of N(0, 1)."""
    mean, std = z.mean(0), z.std(0)
    columns = min(6, z.shape[1])
    lines = -(-z.shape[1] // columns)
    figure = Figure(figsize=(max(4.0, 1.7 * columns), 0.6 + 1.4 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for i, one in enumerate(axes):
        one.set_visible(i < z.shape[1])
        if i < z.shape[1]:
            values = z[:, i] if normal else (z[:, i] - mean[i]) / std[i].clamp(min=1e-12)
            plots.normal_histogram(one, values, f"z[{i}]  {plots.spread(float(mean[i]), float(std[i]))}")
    axes[0].set_ylim(0, 0.8)
    what = "each dimension" if normal else "each dimension less its mean and over its standard deviation"
    note = f"{len(z):,} test images: density of {what}; above, mean ± standard deviation; line: N(0, 1)"
    return plots.heading(figure, title, note)


def _projection(points: LatentPoints, names: Sequence[str], title: str) -> Figure:
    """The plane of the principal axes."""
    plane = plots.principal_plane(points.z.cpu())
    figure = Figure(figsize=plots.size_for(plane.points), layout="constrained")
    axes = plots.scatter(figure.add_subplot(), plane.points, points.label, names)
    plots.name_principal_axes(axes, plane)
    plots.legend(figure, axes)
    return plots.heading(figure, title, _shown(points))
