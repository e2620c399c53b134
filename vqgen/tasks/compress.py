"""An image to a file, by tokenizer, prior and arithmetic coder."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.errors import UserError
from vqgen.measure.likelihood import over_labels
from vqgen.measure.sources import lacks_priors
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import compressed
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.sample import label_index
from vqgen.tasks.task import Task, sheet


class _Image(NamedTuple):
    """What is compressed, what of it is no border, and what was done to the file."""

    x: Float[Tensor, "1 c h w"]
    inside: tuple[slice, slice]
    said: str


class Compress(Task):
    """The codes of an image in a file of about the size of their negative log-likelihood.

    `task=decompress file=FILE` gives the codes back bit for bit, with the same models, on other machines too. The size
    of the file is the proof that the prior's likelihood is one.

    Args:
        file: an image, which is prepared as the images that the tokenizer was trained on; None takes a test image.
        image: which test image, by number.
        label: class of an image file, by number or name, which saves bits; a test image has its own.
    """

    def __init__(self, file: str | None = None, image: int = 0, label: int | str | None = None) -> None:
        if label is not None and file is None:
            raise UserError(f"label={label}: a test image has its own; label is for file=FILE")
        self.file, self.image, self.label = file, image, label

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """A prior of every level."""
        return lacks_priors(trained)

    def make(self, trained: TrainedRun) -> Outcome:
        """The file, what it decodes to beside the original, and the sizes."""
        image, label = self._image(trained)
        codes = trained.coder.encode(image.x)
        x, x_hat = (whole[:, :, *image.inside] for whole in (image.x, trained.autoencoder.decode(codes)))
        coded = compressed(trained, codes, label, border=x.shape != image.x.shape)
        name = f"{Path(self.file).stem if self.file else f'image_{self.image}'}.vqc"
        given = "_given_label" if label is not None else ""
        sizes: dict[str, float] = {
            "file_bytes": len(coded.contents),
            f"nll_bytes{given}": coded.nll / math.log(256),
            "pixel_bytes": x.numel(),
            "bits_per_dim": 8 * len(coded.contents) / x.numel(),
            "mse": float((x - x_hat).square().mean()),
            "margin_nats": coded.margin,
        }
        if label is not None:
            sizes["nll_bytes_over_labels"] = float(over_labels(trained.priors, codes, {})) / math.log(256)
        outcome = sheet(
            "compressed", {"": torch.cat([x, x_hat])}, trained.title(), ["original", "decompressed"],
            f"{sizes['file_bytes']:,} bytes in place of {sizes['pixel_bytes']:,}",
        )  # fmt: skip
        text = self._text(name, sizes, image.said)
        return replace(outcome, text=text, records={"compress": sizes}, files={name: coded.contents})

    def _text(self, name: str, sizes: dict[str, Any], said: str) -> str:
        nll = f"{sizes['nll_bytes']:.1f} bytes" if "nll_bytes" in sizes else (
            f"{sizes['nll_bytes_given_label']:.1f} bytes given the label, which the file holds too, "
            f"and {sizes['nll_bytes_over_labels']:.1f} over labels"
        )  # fmt: skip
        prepared = f" ({said})" if said else ""
        return (
            f"{name}: {sizes['file_bytes']} bytes; the codes' negative log-likelihood is {nll}; "
            f"the pixels are {sizes['pixel_bytes']}{prepared}"
        )

    def _image(self, trained: TrainedRun) -> tuple[_Image, int | None]:
        """The image and its label."""
        num_classes = trained.num_classes
        if self.file is None:
            batch = trained.batch([self.image])
            whole = (slice(None), slice(None))
            return _Image(batch.x, whole, ""), int(batch.label[0]) if num_classes and batch.label is not None else None
        if self.label is not None and not num_classes:
            raise UserError(f"label={self.label}: '{trained.folder}' was trained without labels")
        label = None if self.label is None else label_index(self.label, num_classes, trained.class_names)
        x, inside, said = trained.from_file(self.file)
        return _Image(x[None], inside, said), label
