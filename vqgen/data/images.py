"""The base of every source of images: splits, loaders, and what only the data know."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_only

from vqgen.batch import SPLITS, FileImage, ImageBatch, RawImages, from_bytes
from vqgen.data.error import require
from vqgen.data.files.array_file import digest
from vqgen.data.files.decode import UnreadableError, decode, upright_size
from vqgen.data.loading.batches import Pixels, Split, bordered, center_crop, evaluation_batch, training_batch
from vqgen.data.loading.counter import permutation
from vqgen.data.loading.loader import DataModule, Fetch
from vqgen.data.reading import Reading
from vqgen.errors import DataError

__all__ = ["Attributes", "Images", "Pixels", "Split", "hold_out"]

_MOST_VALUES = 2**28  # of a larger split evenly spaced images are looked at, for its variance and record


@rank_zero_only
def _aside(line: str) -> None:
    """Print to stderr: a task prints the paths of its results to stdout, where other programs read them."""
    print(line, file=sys.stderr)


class Attributes(NamedTuple):
    """Named numbers of every image of a split, in the order of the images."""

    names: list[str]
    values: Float32[ndarray, "n a"]


def hold_out(n: int, num_val: int) -> dict[str, Int64[ndarray, " _"]]:
    """Divide n images between train and val, the same for every seed; of so few that none were left, a tenth is val."""
    num_val = num_val if n > num_val else max(1, n // 10)
    order = permutation(n, "hold_out")
    return {"train": np.sort(order[: n - num_val]), "val": np.sort(order[n - num_val :])}


class Images(DataModule):
    """A source of images. A subclass defines `load`, `source` and, where there are any, `attributes`.

    Args:
        shape: channels (1 or 3), height and width of an image as the model gets it.
        batch_size: images a step on each device.
        seed: decides the order of training images and their augmentation.
        num_workers: processes that read and decode ahead; 0, as fast for images held as arrays, reads in this process.
        flip: mirror half of the training images left to right.
        margin: hold images this many pixels larger; train on a random window of `shape`, evaluate on the middle.
    """

    class_names: Sequence[str] = ()
    attribute_names: Sequence[str] = ()
    root: Path | None = None  # folder of the files
    native: tuple[int, int] | None = None  # height and width that the published images have without a border
    how: str = ""  # the images are divided into splits
    left_out: Mapping[str, int] = {}  # what was not taken, by reason
    notes: Sequence[str] = ()  # further facts for the line of what was read

    def __init__(
        self, shape: Sequence[int], batch_size: int, seed: int, num_workers: int, flip: bool = False, margin: int = 0
    ) -> None:
        super().__init__()
        sizes = list(shape)
        require(len(sizes) == 3, "shape", sizes, "an image has three sizes: channels, height and width")
        require(sizes[0] in (1, 3), "shape", sizes, "an image has 1 channel (grey) or 3 (colour)")
        require(min(sizes) >= 1, "shape", sizes, "height and width are at least 1")
        require(batch_size >= 1, "batch_size", batch_size, "a batch holds at least 1 image")
        require(num_workers >= 0, "num_workers", num_workers, "expected 0 or more processes")
        require(margin >= 0, "margin", margin, "expected 0 or more pixels")
        self.shape = (shape[0], shape[1], shape[2])
        self.batch_size, self.seed, self.num_workers = batch_size, seed, num_workers
        self.flip, self.margin = flip, margin
        self._splits: dict[str, Split] = {}
        self._told: set[str] = set()
        self.compare: Callable[[Images, str], None] | None = None  # called with each split once it is loaded

    def load(self, split: str) -> Split:
        """Images of `held_shape` and labels of "train", "val" or "test"; DataError where they are missing."""
        raise NotImplementedError

    def source(self) -> dict[str, object]:
        """Plain values that decide which images the splits hold, beside the shape."""
        raise NotImplementedError

    @property
    def origin(self) -> str:
        """Where the images come from, which stays when they change: the folder of their files, if they have any."""
        return self.key if self.root is None else os.path.realpath(self.root)

    def record(self, split: str) -> dict[str, object]:
        """What a split holds, for the runs that learn from it: number of images, and a hash that a copy has, too."""
        data = self.split(split)
        return {"images": len(data.images), "digest": digest(*data.given.values(), *self._evenly(split))}

    def content(self, split: str) -> str:
        """A hash of what a split holds, where `source` does not decide it."""
        return ""

    def attributes(self, split: str) -> Attributes | None:
        """Named numbers of every image, where the source has them."""
        return None

    @property
    def place(self) -> str:
        """Where the images come from, in words."""
        return type(self).__name__

    def count(self, split: str) -> int:
        """The number of images of a split."""
        return len(self.split(split).images)

    def reading(self, splits: Sequence[str] = SPLITS) -> Reading:
        """What was read of these splits."""
        counts = {split: self.count(split) for split in splits}
        return Reading(self.place, counts, self.class_names, self.how, self.left_out, self.notes)

    def tell(self, splits: Sequence[str] = SPLITS, say: Callable[[str], None] = rank_zero_info) -> None:
        """Log once, in one line on rank 0, what was read of these splits."""
        if new := [split for split in splits if split not in self._told]:
            self._told.update(new)
            say(self.reading(new).line())

    @property
    def held_shape(self) -> tuple[int, int, int]:
        """The shape of a stored image: `shape` and the margin."""
        c, h, w = self.shape
        return c, h + self.margin, w + self.margin

    @property
    def key(self) -> str:
        """A short readable name with a hash of what decides the images, for what is made from them."""
        facts = {"held_shape": self.held_shape, "shape": self.shape, **self.source()}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        return f"{type(self).__name__.lower()}-{self.shape[1]}x{self.shape[2]}-{digest}"

    def split(self, name: str) -> Split:
        """The images and labels of "train", "val" or "test", loaded once."""
        if name not in SPLITS:
            raise DataError(f"split={name!r}: the splits are train, val and test.")
        if name not in self._splits:
            self._splits[name] = self._loaded(name)
            self.tell([name], _aside)
            if self.compare is not None:
                self.compare(self, name)
        return self._splits[name]

    def facts(self) -> dict[str, object]:
        """Plain values known only from the data; loads the training split."""
        return {"variance": self.variance(), **self.label_facts()}

    def label_facts(self) -> dict[str, object]:
        """The names of classes and attributes; loads the training split."""
        self.split("train")
        for name in (*self.class_names, *self.attribute_names):
            if not name.isprintable() or "${" in name:  # it goes into a config, where that would be a reference
                raise DataError(f"{name!r} cannot be the name of a class or an attribute: rename it.")
        classes, attributes = list(self.class_names), list(self.attribute_names)
        return {"num_classes": len(classes), "class_names": classes, "attribute_names": attributes}

    def variance(self) -> float:
        """Variance of all training pixels, in the scale of [-1, 1]."""
        moments, count = np.zeros(2), 0
        for images in self._evenly("train"):
            x = images.astype(np.float32)
            moments += x.mean(dtype=np.float64) * len(x), np.square(x).mean(dtype=np.float64) * len(x)
            count += len(x)
        mean, square = moments / count
        return float((square - mean**2) / 127.5**2)

    def _evenly(self, split: str) -> Iterator[UInt8[ndarray, "_ c h w"]]:
        """The images of a split, a part at a time: all, or evenly spaced ones of many."""
        images = self.split(split).images
        step = -(-len(images) * int(np.prod(self.shape)) // _MOST_VALUES)
        chosen = np.arange(0, len(images), step)
        for part in np.array_split(chosen, -(-len(chosen) // 256)):
            yield center_crop(images[part], *self.shape[1:])

    def fetch(self, split: str, training: bool = False) -> Fetch:
        """Batches of a split as uint8."""
        if training:
            return partial(training_batch, self.split(split), self.shape, self.flip, self.seed)
        return partial(evaluation_batch, self.split(split), self.shape)

    def on_after_batch_transfer(self, batch: RawImages, dataloader_idx: int) -> ImageBatch:
        """Images to [-1, 1], on the device."""
        return ImageBatch(from_bytes(batch.pixels), batch.given, batch.index)

    def from_file(self, path: str | Path, channels: int | None = None) -> FileImage:
        """Any image file, prepared as the images of the splits are; where these have a border, it may have it already.

        `channels`, 1 or 3, may stand in place of those of `shape`. Raises DataError where there is no image in it.
        """
        height, width = self.native or self.held_shape[1:]
        channels, whole = channels or self.shape[0], (slice(0, self.shape[1]), slice(0, self.shape[2]))
        if not Path(path).is_file():
            what = "it is a folder" if Path(path).is_dir() else "there is no such file"
            raise DataError(f"'{path}' cannot be read as an image: {what}")
        try:
            size = upright_size(path)
            if self.native and size == self.shape[1:]:
                return FileImage(from_bytes(torch.from_numpy(self.decoded(path, (channels, *size)))), whole, "")
            pixels = self.decoded(path, (channels, height, width))
        except UnreadableError as error:
            raise DataError(f"'{path}' cannot be read as an image: {error}") from None
        said = "" if size == (height, width) else f"of {size[1]}x{size[0]} the middle, at {width}x{height}"
        return FileImage(from_bytes(torch.from_numpy(self._as_held(pixels))), self.inside, said)

    def decoded(self, path: str | Path, shape: tuple[int, int, int]) -> UInt8[ndarray, "c h w"]:
        """A file's pixels at a shape, as this source decodes its own. Raises UnreadableError."""
        return decode(path, shape)

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of an image that are no border."""
        ones = self._as_held(np.ones((1, *(self.native or self.held_shape[1:])), np.uint8))[0]
        rows, columns = np.flatnonzero(ones.any(1)), np.flatnonzero(ones.any(0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def _as_held(self, image: UInt8[ndarray, "c hh ww"]) -> UInt8[ndarray, "c h w"]:
        """An image with its border, and of this the middle, as in evaluation."""
        held = bordered(image[None], *self.held_shape[1:])
        return np.ascontiguousarray(center_crop(held, *self.shape[1:])[0])

    def names(self, split: str, index: Sequence[int]) -> list[str]:
        """Names of these images of a split, for messages: their numbers."""
        return [str(i) for i in index]

    def _loaded(self, name: str) -> Split:
        what = f"The {name} split of {type(self).__name__}"
        try:
            split = self.load(name)
        except (MemoryError, ValueError) as error:
            if isinstance(error, ValueError) and not re.search("too big|Maximum allowed", str(error)):  # NumPy's words
                raise
            raise DataError(f"{what} does not fit into memory ({error}): take fewer or smaller images.") from error
        for key, values in split.given.items():
            if len(values) != len(split.images):
                raise DataError(f"{what} has {len(values)} values of {key} for {len(split.images)} images.")
        if len(split.images) == 0:
            raise DataError(f"{what} holds no image.")
        if tuple(split.images.shape[1:]) != self.held_shape:
            found, wanted = list(split.images.shape[1:]), list(self.held_shape)
            raise DataError(f"data.shape asks for images of {wanted}, and {type(self).__name__} has {found}.")
        return split
