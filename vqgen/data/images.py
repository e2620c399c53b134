"""The base of every source of images: splits, loaders, and what only the data know."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.data.augment import center_crop, random_crop, random_flip
from vqgen.data.error import DataError
from vqgen.data.loader import Loader
from vqgen.data.order import SequentialOrder, ShuffledOrder

__all__ = ["Attributes", "DataError", "Images", "Pixels", "Split", "normalize"]

SPLITS = ("train", "val", "test")
_VARIANCE_VALUES = 2**28   # the variance of a larger split is measured on evenly spaced images


class Pixels(Protocol):
    """Images n c h w of uint8: an array, a memory map, or files decoded when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> ndarray: ...


class Split(NamedTuple):
    """The images of one split, and their class labels where the source has classes."""

    images: Pixels
    labels: Int64[ndarray, " n"] | None = None


class Attributes(NamedTuple):
    """Named numbers of every image of a split, in the order of the images."""

    names: list[str]
    values: Float32[ndarray, "n a"]


def normalize(x: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Pixel values 0..255 to [-1, 1]."""
    return x.float().div_(127.5).sub_(1.0)


class Images(pl.LightningDataModule):
    """A source of images. A subclass says what they are in `load`, `source` and, where it has them, `attributes`.

    Args:
        shape: channels, height and width of an image as the model gets it.
        batch_size: images a step on each device.
        seed: decides the order of training images and their augmentation.
        num_workers: processes that read and decode ahead; 0 reads in the training process, which is as fast for
            sources held as arrays.
        flip: mirror half of the training images left to right.
        margin: hold images this many pixels higher and wider, and train on a random window of `shape`; evaluation
            gets the middle.
    """

    class_names: list[str] = []
    attribute_names: list[str] = []

    def __init__(
        self,
        shape: Sequence[int],
        batch_size: int,
        seed: int,
        num_workers: int,
        flip: bool = False,
        margin: int = 0,
    ) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1:
            raise DataError(f"shape={list(shape)}: an image has three sizes, channels, height and width.")
        if margin < 0 or num_workers < 0:
            raise DataError(f"margin={margin}, num_workers={num_workers}: neither can be less than 0.")
        self.shape = tuple(shape)
        self.batch_size, self.seed, self.num_workers = batch_size, seed, num_workers
        self.flip, self.margin = flip, margin
        self._splits: dict[str, Split] = {}

    def load(self, split: str) -> Split:
        """Images of `held_shape` and labels of "train", "val" or "test". Raises DataError where they are missing."""
        raise NotImplementedError

    def source(self) -> dict[str, Any]:
        """Plain values that decide which images the splits hold, beside the shape."""
        raise NotImplementedError

    def attributes(self, split: str) -> Attributes | None:
        """Named numbers of every image, where the source has them."""
        return None

    @property
    def held_shape(self) -> tuple[int, int, int]:
        """The shape of a stored image: `shape` and the margin."""
        c, h, w = self.shape
        return c, h + self.margin, w + self.margin

    @property
    def key(self) -> str:
        """A short readable name with a hash of what decides the images, for caches of what is made from them."""
        facts = {"held_shape": self.held_shape, "shape": self.shape, **self.source()}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        return f"{type(self).__name__.lower()}-{self.shape[1]}x{self.shape[2]}-{digest}"

    def split(self, name: str) -> Split:
        """The images and labels of "train", "val" or "test", loaded once."""
        if name not in SPLITS:
            raise DataError(f"split={name!r}: the splits are train, val and test.")
        if name not in self._splits:
            self._splits[name] = self._checked(name, self.load(name))
        return self._splits[name]

    def facts(self) -> dict[str, Any]:
        """Plain values known only from the data; loads the training split."""
        return {
            "variance": self.variance(),
            "num_classes": len(self.class_names),
            "class_names": list(self.class_names),
            "attribute_names": list(self.attribute_names),
            "num_train": len(self.split("train").images),
        }

    def variance(self) -> float:
        """Variance of all training pixels, in the scale of [-1, 1]."""
        images = self.split("train").images
        step = -(-len(images) * int(np.prod(self.shape)) // _VARIANCE_VALUES)
        chosen = np.arange(0, len(images), step)
        moments = np.zeros(2)
        for part in np.array_split(chosen, -(-len(chosen) // 256)):
            x = center_crop(images[part], *self.shape[1:]).astype(np.float32)
            moments += x.mean(dtype=np.float64) * len(part), np.square(x).mean(dtype=np.float64) * len(part)
        mean, square = moments / len(chosen)
        return float((square - mean**2) / 127.5**2)

    def setup(self, stage: str | None = None) -> None:
        """Load what the stage needs."""
        names = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage or "", ())
        for name in names:
            self.split(name)

    def train_dataloader(self) -> Loader:
        """Shuffled and augmented training batches."""
        n = len(self.split("train").images)
        return Loader(self.training_batch, ShuffledOrder(n, self.batch_size, self.seed), self.num_workers)

    def val_dataloader(self) -> Loader:
        """All validation images in order."""
        return self.evaluation_loader("val")

    def test_dataloader(self) -> Loader:
        """All test images in order."""
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: str) -> Loader:
        """All images of a split in order, unaugmented."""
        order = SequentialOrder(len(self.split(split).images), self.batch_size)
        return Loader(_EvaluationBatch(self, split), order, self.num_workers)

    def training_batch(self, indices: Int64[ndarray, " b"], epoch: int) -> ImageBatch:
        """The images at `indices` of the training split as uint8, augmented as in `epoch`."""
        x = self.split("train").images[indices]
        if self.margin:
            x = random_crop(x, *self.shape[1:], indices, self.seed, epoch)
        if self.flip:
            x = random_flip(x, indices, self.seed, epoch)
        return self._batch("train", x, indices)

    def evaluation_batch(self, split: str, indices: Int64[ndarray, " b"]) -> ImageBatch:
        """The images at `indices` of a split as uint8."""
        x = self.split(split).images[indices]
        return self._batch(split, center_crop(x, *self.shape[1:]) if self.margin else x, indices)

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        """Images to [-1, 1], on the device."""
        return batch._replace(x=normalize(batch.x))

    def _batch(self, split: str, x: ndarray, indices: ndarray) -> ImageBatch:
        labels = self.split(split).labels
        return ImageBatch(
            torch.from_numpy(np.ascontiguousarray(x)),
            None if labels is None else torch.from_numpy(labels[indices]),
            torch.from_numpy(indices),
        )

    def _checked(self, name: str, split: Split) -> Split:
        if len(split.images) == 0:
            raise DataError(f"The {name} split of {type(self).__name__} holds no image.")
        if tuple(split.images.shape[1:]) != self.held_shape:
            found, wanted = list(split.images.shape[1:]), list(self.held_shape)
            raise DataError(f"data.shape asks for images of {wanted} and {type(self).__name__} holds {found}.")
        return split


class _EvaluationBatch(NamedTuple):
    """What an evaluation loader fetches (a plain object, so that it can be sent to workers)."""

    images: Images
    split: str

    def __call__(self, indices: ndarray, epoch: int) -> ImageBatch:
        return self.images.evaluation_batch(self.split, indices)
