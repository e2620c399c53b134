"""Directions of the latent space that stand for named attributes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from vqgen.errors import UserError, near_miss
from vqgen.pictures import plots
from vqgen.protocols import LatentAutoencoder
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, not_empty, sheet


class Attribute(Task):
    """Images decoded from z + alpha v, where v is the mean latent of images with an attribute less that without.

    A 0/1 attribute divides the images as it says, any other number at its median.

    Args:
        attribute: its name, or several; None takes every one of the data.
        images: test images to change, by number, a row each; of several attributes, only the first image.
        alphas: how far to go along v; 1 goes from the mean without to the mean with.
        num_images: training images that the means are taken over; a few thousand are enough.
    """

    def __init__(
        self,
        attribute: str | Sequence[str] | None = None,
        images: Sequence[int] = (0, 1, 2, 3, 4, 5),
        alphas: Sequence[float] = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0),
        num_images: int = 4000,
    ) -> None:
        at_least(1, num_images=num_images)
        not_empty(attribute=attribute, images=images, alphas=alphas)
        self.attribute, self.images, self.alphas, self.num_images = attribute, images, alphas, num_images

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A latent vector, and attributes."""
        if not trained.has_latents:
            return "a model with latent vectors, an AE or a VAE"
        return "" if trained.attribute_names else "data with named attributes, such as shapes or celeba"

    def make(self, trained: TrainedRun) -> Outcome:
        """A row for each image, or for each attribute."""
        asked = self._names(trained)
        vectors = attribute_vectors(trained, asked, self.num_images)
        names, alike = list(vectors), [name for name in asked if name not in vectors]
        if alike and (self.attribute is not None or not names):
            raise UserError(f"attribute={alike[0]}: the images are all alike in it; num_images=N takes more of them")
        x = trained.batch(self.images if len(names) == 1 else self.images[:1]).x
        rows = {}
        for name, v in vectors.items():
            for i, image in zip(self.images, x, strict=False):
                row = _changed(trained.latent, image, v, self.alphas)
                rows[f"image {i}" if len(names) == 1 else name] = row
        columns = ["original", *map(plots.number, self.alphas)]
        many = len(names) > 1
        what = f"test image {self.images[0]} by attributes" if many else f"attribute {names[0]}"
        note = f"{what}: z + \u03b1 v by \u03b1, v from the mean latent without the attribute to the mean with it"
        name = "attributes" if many else f"attribute_{names[0]}"
        outcome = sheet(name, rows, trained.title(), columns, note)
        return replace(
            outcome,
            arrays={f"attributes/{name}": v.cpu().numpy() for name, v in vectors.items()},
            text="\n".join(f"left out: {name}, in which the images are all alike" for name in alike),
        )

    def _names(self, trained: TrainedRun) -> list[str]:
        """The attributes asked for, which must be among those of the data."""
        known = list(trained.attribute_names)
        asked = [self.attribute] if isinstance(self.attribute, str) else list(self.attribute or known)
        for name in asked:
            if name not in known:
                raise UserError(f"attribute={name}: the data have no such attribute{near_miss(name, known)}")
        return asked


def attribute_vectors(trained: TrainedRun, names: Sequence[str], num_images: int) -> dict[str, Float[Tensor, " d"]]:
    """For each attribute the mean latent of the training images that have it, less that of those that have not.

    An attribute that all of the images have, or none, has no vector.
    """
    attributes = trained.images().attributes("train")
    assert attributes is not None
    batches = list(trained.batches(num_images, "train"))
    z = torch.cat([trained.latent.encode(batch.x) for batch in batches])
    values = attributes.values[torch.cat([batch.index for batch in batches]).cpu().numpy()]
    vectors = {}
    for name in names:
        has = torch.from_numpy(divided(values[:, list(attributes.names).index(name)])).to(z.device)
        if has.any() and not has.all():
            vectors[name] = z[has].mean(0) - z[~has].mean(0)
    return vectors


def divided(values: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Which images have an attribute: the ones of 0 and 1, or those above the median; of two values, the larger."""
    if len(np.unique(values)) <= 2:
        return values > values.min()
    return values > np.median(values)


def _changed(model: LatentAutoencoder, image: Tensor, v: Tensor, alphas: Sequence[float]) -> Float[Tensor, "_ c h w"]:
    """The image, and those decoded from z + alpha v."""
    z = model.encode(image[None])
    return torch.cat([image[None], *(model.decode(z + alpha * v) for alpha in alphas)])
