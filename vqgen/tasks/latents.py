"""The latent space: where the images lie in it, and what its points decode to."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from vqgen import figures, plots
from vqgen.tasks.task import Task
from vqgen.tasks.trained import Outcome, Trained

NORMAL = torch.distributions.Normal(0.0, 1.0)


class LatentPoints(NamedTuple):
    """Latent vectors of images, with their labels."""

    z: Float[Tensor, "n d"]
    label: Int[Tensor, " n"] | None


class Latents(Task):
    """Latent vectors of test images by label; of a VAE these are draws from the posterior.

    Of two dimensions: the scatter of z and (for a VAE) of its normal CDF, which is even over the square where z is
    N(0, I), and the images decoded from a grid over the plane. Of more: histograms against N(0, 1) and the projection
    onto the two principal axes.

    Args:
        num_images: test images; 10,000 fill the plane.
        side: images on a side of the decoded plane.
        num_dimensions: histograms, of the first so many dimensions.
        seed: of the draws from the posterior.
    """

    def __init__(self, num_images: int = 10000, side: int = 20, num_dimensions: int = 24, seed: int = 0) -> None:
        self.num_images, self.side, self.num_dimensions, self.seed = num_images, side, num_dimensions, seed

    @staticmethod
    def lacks(trained: Trained) -> str:
        """A latent vector."""
        return "" if trained.has_latents else "a model with latent vectors, an AE or a VAE"

    def make(self, trained: Trained) -> Outcome:
        """The figures, and z and labels as arrays."""
        points = latent_points(trained, self.num_images, self.seed)
        model, title = trained.autoencoder, trained.title(self.seed if hasattr(trained.autoencoder, "infer") else None)
        arrays = {"latents/z": points.z.cpu().numpy()}
        if points.label is not None:
            arrays["latents/label"] = points.label.cpu().numpy()
        if model.latent_dim != 2:
            return Outcome(plots=self._many(points, trained.class_names, title), arrays=arrays)
        axes = plane_axes(points.z, self.side, hasattr(model, "infer"))
        images = figures.grid(decoded_plane(model, axes), columns=self.side, padding=0)
        scatter = _scatter(points, trained.class_names, hasattr(model, "infer"), title)
        return Outcome(
            {"plane": images}, arrays, plots={"latents": scatter, "plane_labelled": _plane(images, axes, title)}
        )

    def _many(self, points: LatentPoints, names: Sequence[str], title: str) -> dict[str, Figure]:
        """Figures of more than two dimensions (or of one)."""
        return {
            "histograms": _histograms(points.z[:, : self.num_dimensions], title),
            "latents": _projection(points, names, title),
        }


def latent_points(trained: Trained, num_images: int, seed: int) -> LatentPoints:
    """Latent vectors of the first test images: draws from a VAE's posterior, or what an AE's encoder gives."""
    model, labels, z = trained.autoencoder, [], []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for batch in trained.batches(num_images):
            z.append(model.infer(batch.x).z if hasattr(model, "infer") else model.encode(batch.x))
            labels.append(batch.label)
    return LatentPoints(torch.cat(z), None if labels[0] is None else torch.cat(labels))


def plane_axes(z: Float[Tensor, "n 2"], side: int, normal: bool) -> Float[Tensor, "2 s"]:
    """Values along both axes of the plane.

    Args:
        z: latent vectors.
        side: values on each axis.
        normal: quantiles of N(0, 1) at even probabilities; otherwise even steps over the middle 98 % of `z`.
    """
    share = (torch.arange(side) + 0.5) / side
    if normal:
        return NORMAL.icdf(share).expand(2, -1)
    low, high = torch.quantile(z.cpu(), torch.tensor([0.01, 0.99]), dim=0)
    return low[:, None] + (high - low)[:, None] * share


def decoded_plane(model: Any, axes: Float[Tensor, "2 s"]) -> Float[Tensor, "n c h w"]:
    """Images of the points of a grid, row by row from the highest value of the second axis down."""
    y, x = torch.meshgrid(axes[1].flip(0), axes[0], indexing="ij")
    z = torch.stack([x.flatten(), y.flatten()], 1).to(model.device)
    return torch.cat([model.decode(part) for part in z.split(256)])


def _scatter(points: LatentPoints, names: Sequence[str], normal: bool, title: str) -> Figure:
    """z and, beside it, its normal CDF."""
    figure = Figure(figsize=(10.5 if normal else 6.2, 5), layout="constrained")
    axes = figure.subplots(1, 2 if normal else 1, squeeze=False)[0]
    z = points.z.cpu()
    plots.scatter(axes[0], z, points.label, names).set(xlabel="z[0]", ylabel="z[1]", title="z", aspect="equal")
    if normal:
        cdf = plots.scatter(axes[1], NORMAL.cdf(z), points.label, names)
        cdf.set(xlabel="Φ(z[0])", ylabel="Φ(z[1])", title="normal CDF of z", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    plots.legend(figure, axes[0])
    figure.suptitle(title, fontsize=10)
    return figure


def _plane(picture: Float[Tensor, "3 H W"], axes: Float[Tensor, "2 s"], title: str) -> Figure:
    """The decoded plane with its coordinates."""
    figure = Figure(figsize=(7, 7), layout="constrained")
    drawn = plots.show(figure.add_subplot(), picture)
    side = axes.shape[1]
    cell = picture.shape[1] / side
    chosen = sorted({0, side // 4, side // 2, 3 * side // 4, side - 1})
    places = [(i + 0.5) * cell for i in chosen]
    drawn.set_xticks(places, [f"{float(axes[0, i]):.2f}" for i in chosen])
    drawn.set_yticks(places, [f"{float(axes[1].flip(0)[i]):.2f}" for i in chosen])
    drawn.set(xlabel="z[0]", ylabel="z[1]")
    figure.suptitle(title, fontsize=10)
    return figure


def _histograms(z: Float[Tensor, "n d"], title: str) -> Figure:
    """A histogram of each dimension with the density of N(0, 1)."""
    columns = min(6, z.shape[1])
    lines = -(-z.shape[1] // columns)
    figure = Figure(figsize=(max(4.0, 1.7 * columns), 0.6 + 1.4 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for i, one in enumerate(axes):
        one.set_visible(i < z.shape[1])
        if i < z.shape[1]:
            plots.normal_histogram(one, z[:, i], f"z[{i}]  {float(z[:, i].mean()):+.2f} ± {float(z[:, i].std()):.2f}")
    axes[0].set_ylim(0, 1)
    figure.suptitle(f"{title}\ndensity of each dimension, mean ± standard deviation; line: N(0, 1)", fontsize=10)
    return figure


def _projection(points: LatentPoints, names: Sequence[str], title: str) -> Figure:
    """The plane of the principal axes."""
    figure = Figure(figsize=(6.2, 5), layout="constrained")
    axes = plots.scatter(figure.add_subplot(), plots.principal_plane(points.z), points.label, names)
    axes.set(xlabel="first principal axis", ylabel="second principal axis", aspect="equal")
    plots.legend(figure, axes)
    figure.suptitle(title, fontsize=10)
    return figure
