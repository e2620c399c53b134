"""Where in an image the priors are surprised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.measure.likelihood import nats_of
from vqgen.pictures import figures
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, name_of
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, not_empty, sheet


@dataclass
class NLL(Task):
    """The negative log-likelihood of each code of images, as a heat map for each level that there is a prior of.

    Black is 0 nats, a code that was certain; the brightest is the dearest code of the level among these images. A
    causal prior is surprised where something begins that the codes before, in raster order, did not announce.

    Args:
        images: test images by number, or image files.
        label: class of image files, by number or name; test images have their own.
    """

    images: Sequence[int | str] = (0, 1, 2, 3, 4, 5, 6, 7)
    label: int | str | None = None

    def __post_init__(self) -> None:
        not_empty(images=self.images)

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A prior of some level."""
        return "" if trained.priors else "a prior"

    def make(self, trained: TrainedRun) -> Outcome:
        """The images and under them the map of each level; nats in all above."""
        batch = chosen(trained, self.images, self.label)
        levels, rows = level_nats(trained, batch), {"original": batch.x}
        for level in levels:
            bound = "" if level.exact else " at most"
            name = f"{level.name}{bound}, brightest: {float(level.nats.max()):.1f} nats"
            rows[name] = figures.heat_map(level.nats, float(level.nats.max()), (batch.x.shape[2], batch.x.shape[3]))
        total = torch.stack([level.nats.sum((1, 2)) for level in levels]).sum(0).tolist()
        most = "" if all(level.exact for level in levels) else "at most "
        columns = [f"{name_of(image)}: {most}{nats:.0f}" for image, nats in zip(self.images, total, strict=True)]
        names = " and ".join(level.name for level in levels)
        note = f"negative log-likelihood of each code, black: 0 nats; above, the nats of all codes of {names} together"
        arrays = {f"nats/{level.name}": level.nats.numpy() for level in levels}
        return sheet("nll", rows, trained.title(), columns, note) | Outcome(arrays=arrays)


class LevelNats(NamedTuple):
    """Nats of the codes of a level; where they are not `exact`, a bound of them from above."""

    name: str
    nats: Float[Tensor, "b h w"]
    exact: bool


def level_nats(trained: TrainedRun, batch: ImageBatch) -> list[LevelNats]:
    """Negative log-likelihood of each code of images, for each level that there is a prior of."""
    codes = trained.coder.encode(batch.x)
    found = []
    for prior in trained.priors:
        nats = nats_of(prior, codes, batch.given).float()
        found.append(LevelNats(trained.levels[prior.level], nats, prior.exact))
    return found
