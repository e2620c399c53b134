"""An image to a file, by tokenizer, prior and arithmetic coder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from vqgen.errors import UserError
from vqgen.measure.likelihood import over_labels
from vqgen.measure.sources import lacks_order
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import Compressed, at_a_time, compressed
from vqgen.tasks.header import SUFFIX
from vqgen.tasks.images import label_index
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, sheet

MOST_SHOWN = 10
"""Images in the picture, where several are compressed."""


@dataclass
class Compress(Task):
    """The codes of an image in a file of about the size of their negative log-likelihood.

    `task=decompress file=FILE` gives the codes back bit for bit, with the same models, on other machines too. The size
    of the file is the proof that the prior's likelihood is one.

    Args:
        file: an image, which is prepared as the images that the tokenizer was trained on; None takes a test image.
        image: which test image, by number.
        num_images: this many test images, from that one on, a file each.
        archive: all images in one file, smaller by the headers.
        label: class of an image file, by number or name, which saves bits; a test image has its own.
    """

    file: str | None = None
    image: int = 0
    num_images: int = 1
    archive: bool = False
    label: int | str | None = None
    lacks = staticmethod(lacks_order)

    def __post_init__(self) -> None:
        at_least(1, num_images=self.num_images)
        if self.file is not None and self.num_images != 1:
            raise UserError(f"num_images={self.num_images}: file={self.file} is one image; leave one of both out")
        if self.archive and self.num_images == 1:
            raise UserError("archive=true: it is for several images, num_images=N")
        if self.label is not None and self.file is None:
            raise UserError(f"label={self.label}: a test image has its own; label is for file=FILE")

    def make(self, trained: TrainedRun) -> Outcome:
        """The files, what the first of them decode to beside the originals, and the sizes."""
        sizes, step = _Sizes(), at_a_time(trained)
        files: dict[str, bytes] = {}
        shown: list[Tensor] = []
        starts = range(0, self.num_images, step)
        for start in tqdm(starts, desc="compressing", disable=self.num_images == 1, leave=False):
            x, inside, labels, said = self._images(trained, range(start, min(start + step, self.num_images)))
            codes = trained.coder.encode(x)
            inner, x_hat = (whole[:, :, *inside] for whole in (x, trained.autoencoder.decode(codes)))
            coded = compressed(trained, codes, labels, border=inner.shape != x.shape, together=self.archive)
            sizes.add(coded, inner, x_hat)
            if not shown:
                shown = [inner[:MOST_SHOWN], x_hat[:MOST_SHOWN]]
            for i, one in enumerate(coded, start):
                name = self._archive if self.archive else self._name(i)
                files[name] = files.get(name, b"") + one.contents
        record = sizes.record("_given_label" if labels[0] is not None else "")
        if self.num_images == 1 and labels[0] is not None:
            record["nll_bytes_over_labels"] = float(over_labels(trained.priors, codes, {})) / math.log(256)
        note = f"{record['file_bytes']:,} bytes in place of {record['pixel_bytes']:,}"
        if self.num_images == 1:
            outcome = sheet("compressed", {"": torch.cat(shown)}, trained.title(), ["original", "decompressed"], note)
        else:
            rows = dict(zip(("original", "decompressed"), shown, strict=True))
            outcome = sheet("compressed", rows, trained.title(), note=note)
        return replace(outcome, text=self._text(record, said), records={"compress": record}, files=files)

    @property
    def _archive(self) -> str:
        """The file of all images."""
        return f"images_{self.image}_to_{self.image + self.num_images - 1}{SUFFIX}"

    def _name(self, i: int) -> str:
        """The file of the image i places after the first."""
        return f"{Path(self.file).stem if self.file else f'image_{self.image + i}'}{SUFFIX}"

    def _text(self, sizes: dict[str, int | float], said: str) -> str:
        if "nll_bytes" in sizes:
            nll = f"{sizes['nll_bytes']:,.1f} bytes"
        elif "nll_bytes_over_labels" in sizes:
            given, over = sizes["nll_bytes_given_label"], sizes["nll_bytes_over_labels"]
            nll = f"{given:.1f} bytes given the label, which the file holds too, and {over:.1f} over labels"
        else:
            nll = f"{sizes['nll_bytes_given_label']:,.1f} bytes given the labels, which the files hold too"
        names = f"{self.num_images:,} files, {self._name(0)} to " if self.num_images > 1 else ""
        names = self._archive if self.archive else f"{names}{self._name(self.num_images - 1)}"
        prepared = f" ({said})" if said else ""
        return (
            f"{names}: {sizes['file_bytes']:,} bytes; the codes' negative "
            f"log-likelihood is {nll}; the pixels are {sizes['pixel_bytes']:,}{prepared}; "
            f"{sizes['bits_per_dim']:.3f} bits/dim"
        )

    def _images(self, trained: TrainedRun, numbers: range) -> "_Images":
        """Images that are compressed together."""
        if self.file is None:
            batch = trained.batch([self.image + i for i in numbers])
            known = trained.num_classes and batch.label is not None
            labels = batch.label.tolist() if known and batch.label is not None else [None] * len(numbers)
            return _Images(batch.x, (slice(None), slice(None)), labels, "")
        image = trained.from_file(self.file)
        label = None if self.label is None else label_index(self.label, trained)
        return _Images(image.x[None], image.inside, [label], image.said)


class _Images(NamedTuple):
    """Images, where they are in their border, their labels, and what is said of how they were prepared."""

    x: Float[Tensor, "b c h w"]
    inside: tuple[slice, slice]
    labels: list[int | None]
    said: str


class _Sizes:
    """Sums over the images that were compressed."""

    def __init__(self) -> None:
        self.file_bytes, self.nll, self.pixel_bytes, self.squares, self.margin = 0, 0.0, 0, 0.0, math.inf

    def add(self, coded: Sequence[Compressed], x: Float[Tensor, "b c h w"], x_hat: Float[Tensor, "b c h w"]) -> None:
        """Count some more."""
        self.file_bytes += sum(len(one.contents) for one in coded)
        self.nll += sum(one.nll for one in coded)
        self.margin = min([self.margin, *(one.margin for one in coded)])
        self.pixel_bytes += x.numel()
        self.squares += float((x - x_hat).square().sum())

    def record(self, given: str) -> dict[str, int | float]:
        """The sums and means by name; the likelihood's name ends in what is `given`."""
        return {
            "file_bytes": self.file_bytes,
            f"nll_bytes{given}": self.nll / math.log(256),
            "pixel_bytes": self.pixel_bytes,
            "bits_per_dim": 8 * self.file_bytes / self.pixel_bytes,
            "mse": self.squares / self.pixel_bytes,
            "margin_nats": self.margin,
        }
