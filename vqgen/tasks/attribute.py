"""Directions of the latent space that stand for named attributes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from vqgen.errors import UserError, near_miss
from vqgen.pictures import plots
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, name_of
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, lacks_latents, not_empty, sheet


@dataclass
class Attribute(Task):
    """Images decoded from z + alpha v, where v is the mean latent of images with an attribute less that without.

    A 0/1 attribute divides the images as it says, any other number at its median.

    Args:
        attribute: its name, or several; None takes every one of the data.
        images: test images by number, or image files, a row each; of several attributes, only the first image.
        alphas: how far to go along v; 1 goes from the mean without to the mean with.
        num_images: training images that the means are taken over; a few thousand are enough.
    """

    attribute: str | Sequence[str] | None = None
    images: Sequence[int | str] = (0, 1, 2, 3, 4, 5)
    alphas: Sequence[float] = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    num_images: int = 4000

    def __post_init__(self) -> None:
        at_least(1, num_images=self.num_images)
        not_empty(attribute=self.attribute, images=self.images, alphas=self.alphas)

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A latent vector, and attributes."""
        named = "" if trained.attribute_names else "data with named attributes, such as shapes or celeba"
        return lacks_latents(trained) or named

    def make(self, trained: TrainedRun) -> Outcome:
        """A row for each image, or for each attribute."""
        asked = self._names(trained)
        vectors = attribute_vectors(trained, asked, self.num_images)
        names, alike = list(vectors), [name for name in asked if name not in vectors]
        if alike and (self.attribute is not None or not names):
            raise UserError(f"attribute={alike[0]}: the images are all alike in it; num_images=N takes more of them")
        x = chosen(trained, self.images if len(names) == 1 else self.images[:1]).x
        rows = {}
        for name, v in vectors.items():
            for image, one in zip(self.images, x[:, None], strict=False):
                z = trained.latent.encode(one)
                made = [trained.latent.decode(z + alpha * v) for alpha in self.alphas]
                rows[name_of(image) if len(names) == 1 else name] = torch.cat([one, *made])
        columns = ["original", *map(plots.number, self.alphas)]
        alone = len(names) == 1
        what = f"attribute {names[0]}" if alone else f"{name_of(self.images[0])} by attributes"
        note = f"{what}: z + \u03b1 v by \u03b1, v from the mean latent without the attribute to the mean with it"
        shown = sheet(f"attribute_{names[0]}" if alone else "attributes", rows, trained.title(), columns, note)
        arrays = {f"attributes/{name}": v.cpu().numpy() for name, v in vectors.items()}
        text = "\n".join(f"left out: {name}, in which the images are all alike" for name in alike)
        return replace(shown, arrays=arrays, text=text)

    def _names(self, trained: TrainedRun) -> list[str]:
        """The attributes asked for, which must be among those of the data."""
        known = list(trained.attribute_names)
        asked = [self.attribute] if isinstance(self.attribute, str) else list(self.attribute or known)
        if missing := [name for name in asked if name not in known]:
            raise UserError(f"attribute={missing[0]}: the data have no such attribute{near_miss(missing[0], known)}")
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
