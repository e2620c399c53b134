"""From one image to another by given amounts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.errors import UserError
from vqgen.pictures import plots
from vqgen.protocols import Autoencoder, LatentAutoencoder, Tokenizer
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, short
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, lacks_autoencoder, not_empty, sheet


@dataclass
class Morph(Task):
    """Images of z_A (1 - alpha) + z_B alpha between the originals A and B.

    z is the latent vector or, of a model with codes, what its quantizers are given.

    Args:
        first: images A, test images by number or image files.
        second: images B, as many.
        alphas: amounts of B; below 0 and above 1 goes beyond the two images.
    """

    first: Sequence[int | str] = (0, 2, 4, 6)
    second: Sequence[int | str] = (1, 3, 5, 7)
    alphas: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    lacks = staticmethod(lacks_autoencoder)

    def __post_init__(self) -> None:
        check_pairs(self.first, self.second)
        not_empty(alphas=self.alphas)

    def make(self, trained: TrainedRun) -> Outcome:
        """A row for each pair."""
        a, b = chosen(trained, self.first, key="first").x, chosen(trained, self.second, key="second").x
        rows = {}
        for i, (one, other) in enumerate(zip(self.first, self.second, strict=True)):
            made = morphed(trained.autoencoder, a[i], b[i], self.alphas)
            rows[f"{short(one)} to {short(other)}"] = torch.cat([a[i : i + 1], made, b[i : i + 1]])
        columns = ["A", *map(plots.number, self.alphas), "B"]
        what = "latent vectors" if trained.has_latents else "features, quantized after mixing"
        note = f"z_A (1 {plots.MINUS} \u03b1) + z_B \u03b1 by \u03b1, between the originals A and B; z: {what}"
        return sheet("morph", rows, trained.title(), columns, note)


def check_pairs(first: Sequence[int | str], second: Sequence[int | str]) -> None:
    """Raise UserError unless there are as many first images as second."""
    if len(first) != len(second) or not first:
        raise UserError(f"first={list(first)}, second={list(second)}: give one second image for each first")


def morphed(
    model: Autoencoder, a: Float[Tensor, "c h w"], b: Float[Tensor, "c h w"], alphas: Sequence[float]
) -> Float[Tensor, "_ c h w"]:
    """Images of z_A (1 - alpha) + z_B alpha; features of levels of codes are mixed and then quantised."""
    both = torch.stack([a, b])
    if isinstance(model, LatentAutoencoder):
        return model.decode(_mixed(model.encode(both), alphas))
    assert isinstance(model, Tokenizer)
    return model.decode(model.nearest([_mixed(z, alphas) for z in model.features(both)]))


def _mixed(z: Float[Tensor, "2 d *map"], alphas: Sequence[float]) -> Float[Tensor, "_ d *map"]:
    """z[0] (1 - alpha) + z[1] alpha for each alpha."""
    return torch.stack([z[0] * (1 - alpha) + z[1] * alpha for alpha in alphas])
