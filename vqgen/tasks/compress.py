"""An image to a file, by tokenizer, prior and range coder."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen import figures
from vqgen.errors import UserError
from vqgen.evaluation.sources import lacks_priors
from vqgen.tasks.coding import coder, compressed
from vqgen.tasks.sample import label_index
from vqgen.tasks.task import Task, sheet
from vqgen.tasks.trained import Outcome, Trained


class Compress(Task):
    """The codes of an image in a file of about the size of their negative log-likelihood.

    `task=decompress file=FILE` gives the codes back bit for bit, with the same models on the same device and version of
    torch. The size of the file is the proof that the prior's likelihood is one.

    Args:
        file: an image of the size that the tokenizer was trained on; None takes a test image.
        image: which test image, by number.
        label: class of an image file, by number or name, which saves bits; a test image has its own.
    """

    def __init__(self, file: str | None = None, image: int = 0, label: int | str | None = None) -> None:
        if label is not None and file is None:
            raise UserError(f"label={label}: a test image has its own; label is for file=FILE")
        self.file, self.image, self.label = file, image, label

    @staticmethod
    def lacks(trained: Trained) -> str:
        """A prior of every level."""
        return lacks_priors(trained)

    def make(self, trained: Trained) -> Outcome:
        """The file, what it decodes to beside the original, and the sizes."""
        coder()
        x, label = self._image(trained)
        codes = trained.autoencoder.encode(x)
        coded = compressed(trained, codes, label)
        x_hat = trained.autoencoder.decode(codes)
        name = f"{Path(self.file).stem if self.file else f'image_{self.image}'}.vqc"
        sizes = {
            "file_bytes": len(coded.contents),
            "nll_bytes": coded.nll / math.log(256),
            "pixel_bytes": x.numel(),
            "bits_per_dim": 8 * len(coded.contents) / x.numel(),
            "mse": float((x - x_hat).square().mean()),
        }
        text = (
            f"{name}: {sizes['file_bytes']} bytes; the codes' negative log-likelihood is "
            f"{sizes['nll_bytes']:.1f} bytes, the pixels are {sizes['pixel_bytes']}"
        )
        outcome = sheet(
            "compressed", {"": torch.cat([x, x_hat])}, trained.title(), ["original", "decompressed"],
            f"{sizes['file_bytes']:,} bytes in place of {sizes['pixel_bytes']:,}",
        )  # fmt: skip
        return replace(outcome, text=text, records={"compress": sizes}, files={name: coded.contents})

    def _image(self, trained: Trained) -> tuple[Float[Tensor, "1 c h w"], int | None]:
        """The image and its label."""
        num_classes = trained.model.num_classes
        if self.file is None:
            batch = trained.batch([self.image])
            return batch.x, int(batch.label[0]) if num_classes else None
        shape = tuple(trained.autoencoder.shape)
        x = figures.read_image(Path(self.file), shape[0])
        if tuple(x.shape) != shape:
            raise UserError(
                f"file={self.file}: the image is {x.shape[1]}x{x.shape[2]}, the tokenizer takes {shape[1]}x{shape[2]}"
            )
        if self.label is not None and not num_classes:
            raise UserError(f"label={self.label}: '{trained.folder}' was trained without labels")
        label = None if self.label is None else label_index(self.label, num_classes, trained.class_names)
        return x[None].to(trained.model.device), label
