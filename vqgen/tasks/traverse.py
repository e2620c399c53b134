"""What each latent dimension does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.errors import UserError
from vqgen.pictures import plots
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, name_of
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, lacks_latents, not_empty, sheet


@dataclass
class Traverse(Task):
    """A row of images for a latent dimension, which alone moves; the others stay as an image has them.

    Args:
        image: to start from, a test image by number or an image file; None starts from the mean of all.
        dimensions: which, a row each; None takes the `num_dimensions` in which the images differ most.
        num_dimensions: rows where none are named.
        extent: from so many standard deviations below the mean to as many above, both over the images' latents.
        steps: images in a row.
        num_images: test images that mean and standard deviation are taken over.
    """

    image: int | str | None = None
    dimensions: Sequence[int] | None = None
    num_dimensions: int = 10
    extent: float = 3.0
    steps: int = 9
    num_images: int = 2000
    lacks = staticmethod(lacks_latents)

    def __post_init__(self) -> None:
        at_least(2, steps=self.steps, num_images=self.num_images)
        at_least(1, num_dimensions=self.num_dimensions)
        not_empty(dimensions=self.dimensions)
        if not 0 < self.extent < math.inf:
            raise UserError(f"extent={self.extent}: expected standard deviations above 0")

    def make(self, trained: TrainedRun) -> Outcome:
        """The rows, the dimensions that matter most first."""
        model = trained.latent
        z = torch.cat([model.encode(batch.x) for batch in trained.batches(self.num_images)])
        mean, std = z.mean(0), z.std(0)
        start = mean if self.image is None else model.encode(chosen(trained, [self.image], key="image").x)[0]
        amounts = torch.linspace(-self.extent, self.extent, self.steps)
        rows = {}
        for d in self._chosen(std):
            values = mean[d] + amounts.to(z.device) * std[d]
            name = f"z[{d}]  {plots.spread(float(mean[d]), float(std[d]))}"
            rows[name] = model.decode(moved(start, d, values))
        columns = [f"{plots.number(amount, '+.3g')} sd" if amount else "mean" for amount in amounts.tolist()]
        others = "at their means" if self.image is None else f"as {name_of(self.image)} has them"
        note = f"one dimension moves, by its mean ± standard deviation over test images; the others stay {others}"
        return sheet("traversals", rows, trained.title(), columns, note)

    def _chosen(self, std: Float[Tensor, " d"]) -> list[int]:
        """The dimensions asked for, or those of greatest standard deviation."""
        if self.dimensions is None:
            return std.argsort(descending=True)[: self.num_dimensions].tolist()
        if outside := [d for d in self.dimensions if not 0 <= d < len(std)]:
            last = len(std) - 1
            raise UserError(f"dimensions={list(self.dimensions)}: there is no {outside[0]}, they are 0 to {last}")
        return list(self.dimensions)


def moved(z: Float[Tensor, " d"], dimension: int, values: Float[Tensor, " s"]) -> Float[Tensor, "s d"]:
    """Copies of `z` with these values in one dimension."""
    copies = z.repeat(len(values), 1)
    copies[:, dimension] = values
    return copies
