"""An image to a file, by tokenizer, prior and arithmetic coder."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vqgen.batch import FileImage
from vqgen.errors import UserError
from vqgen.measure.likelihood import over_labels
from vqgen.measure.sources import lacks_order
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import compressed
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.sample import label_index
from vqgen.tasks.task import Task, sheet


@dataclass
class Compress(Task):
    """The codes of an image in a file of about the size of their negative log-likelihood.

    `task=decompress file=FILE` gives the codes back bit for bit, with the same models, on other machines too. The size
    of the file is the proof that the prior's likelihood is one.

    Args:
        file: an image, which is prepared as the images that the tokenizer was trained on; None takes a test image.
        image: which test image, by number.
        label: class of an image file, by number or name, which saves bits; a test image has its own.
    """

    file: str | None = None
    image: int = 0
    label: int | str | None = None
    lacks = staticmethod(lacks_order)

    def __post_init__(self) -> None:
        if self.label is not None and self.file is None:
            raise UserError(f"label={self.label}: a test image has its own; label is for file=FILE")

    def make(self, trained: TrainedRun) -> Outcome:
        """The file, what it decodes to beside the original, and the sizes."""
        image, label = self._image(trained)
        codes = trained.coder.encode(image.x[None])
        x, x_hat = (whole[:, *image.inside] for whole in (image.x, trained.autoencoder.decode(codes)[0]))
        coded = compressed(trained, codes, label, border=x.shape != image.x.shape)
        name = f"{Path(self.file).stem if self.file else f'image_{self.image}'}.vqc"
        given = "_given_label" if label is not None else ""
        sizes: dict[str, int | float] = {
            "file_bytes": len(coded.contents),
            f"nll_bytes{given}": coded.nll / math.log(256),
            "pixel_bytes": x.numel(),
            "bits_per_dim": 8 * len(coded.contents) / x.numel(),
            "mse": float((x - x_hat).square().mean()),
            "margin_nats": coded.margin,
        }
        if label is not None:
            sizes["nll_bytes_over_labels"] = float(over_labels(trained.priors, codes, {})) / math.log(256)
        note = f"{sizes['file_bytes']:,} bytes in place of {sizes['pixel_bytes']:,}"
        columns = ["original", "decompressed"]
        outcome = sheet("compressed", {"": torch.stack([x, x_hat])}, trained.title(), columns, note)
        text = self._text(name, sizes, image.said)
        return replace(outcome, text=text, records={"compress": sizes}, files={name: coded.contents})

    def _text(self, name: str, sizes: dict[str, int | float], said: str) -> str:
        if "nll_bytes" in sizes:
            nll = f"{sizes['nll_bytes']:.1f} bytes"
        else:
            given, over = sizes["nll_bytes_given_label"], sizes["nll_bytes_over_labels"]
            nll = f"{given:.1f} bytes given the label, which the file holds too, and {over:.1f} over labels"
        prepared = f" ({said})" if said else ""
        return (
            f"{name}: {sizes['file_bytes']} bytes; the codes' negative log-likelihood is {nll}; "
            f"the pixels are {sizes['pixel_bytes']}{prepared}"
        )

    def _image(self, trained: TrainedRun) -> tuple[FileImage, int | None]:
        """The image and its label."""
        if self.file is None:
            batch = trained.batch([self.image])
            label = int(batch.label[0]) if trained.num_classes and batch.label is not None else None
            return FileImage(batch.x[0], (slice(None), slice(None)), ""), label
        label = None if self.label is None else label_index(self.label, trained)
        return trained.from_file(self.file), label
