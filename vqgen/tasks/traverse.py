"""What each latent dimension does."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.errors import UserError
from vqgen.pictures import plots
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, not_empty, sheet


class Traverse(Task):
    """A row of images for a latent dimension, which alone moves; the others stay as an image has them.

    Args:
        image: test image to start from, by number; None starts from the mean of all.
        dimensions: which, a row each; None takes the `num_dimensions` in which the images differ most.
        num_dimensions: rows where none are named.
        extent: from so many standard deviations below the mean to as many above, both over the images' latents.
        steps: images in a row.
        num_images: test images that mean and standard deviation are taken over.
    """

    def __init__(
        self,
        image: int | None = None,
        dimensions: Sequence[int] | None = None,
        num_dimensions: int = 10,
        extent: float = 3.0,
        steps: int = 9,
        num_images: int = 2000,
    ) -> None:
        at_least(2, steps=steps, num_images=num_images)
        at_least(1, num_dimensions=num_dimensions)
        not_empty(dimensions=dimensions)
        if not 0 < extent < math.inf:
            raise UserError(f"extent={extent}: expected standard deviations above 0")
        self.image, self.dimensions, self.num_dimensions = image, dimensions, num_dimensions
        self.extent, self.steps, self.num_images = extent, steps, num_images

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A latent vector."""
        return "" if trained.has_latents else "a model with latent vectors, an AE or a VAE"

    def make(self, trained: TrainedRun) -> Outcome:
        """The rows, the dimensions that matter most first."""
        model = trained.latent
        z = torch.cat([model.encode(batch.x) for batch in trained.batches(self.num_images)])
        mean, std = z.mean(0), z.std(0)
        start = mean if self.image is None else model.encode(trained.batch([self.image]).x)[0]
        amounts = torch.linspace(-self.extent, self.extent, self.steps)
        rows = {}
        for d in self._chosen(std):
            values = mean[d] + amounts.to(z.device) * std[d]
            name = f"z[{d}]  {plots.spread(float(mean[d]), float(std[d]))}"
            rows[name] = model.decode(moved(start, d, values))
        columns = [f"{plots.number(amount, '+.3g')} sd" if amount else "mean" for amount in amounts.tolist()]
        others = "at their means" if self.image is None else f"as test image {self.image} has them"
        note = f"one dimension moves, by its mean ± standard deviation over test images; the others stay {others}"
        return sheet("traversals", rows, trained.title(), columns, note)

    def _chosen(self, std: Float[Tensor, " d"]) -> list[int]:
        """The dimensions asked for, or those of greatest standard deviation."""
        if self.dimensions is None:
            return std.argsort(descending=True)[: self.num_dimensions].tolist()
        if outside := [d for d in self.dimensions if not 0 <= d < len(std)]:
            raise UserError(
                f"dimensions={list(self.dimensions)}: there is no {outside[0]}, they are 0 to {len(std) - 1}"
            )
        return list(self.dimensions)


def moved(z: Float[Tensor, " d"], dimension: int, values: Float[Tensor, " s"]) -> Float[Tensor, "s d"]:
    """Copies of `z` with these values in one dimension."""
    copies = z.repeat(len(values), 1)
    copies[:, dimension] = values
    return copies
