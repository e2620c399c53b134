"""Cutting batches of images: plain functions that can be sent to workers."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.data.files.prepare import ImageFiles, Index
from vqgen.data.loading.augment import center_crop, random_crop, random_flip

New = Callable[..., ndarray]   # np.empty, or what takes a shape and a type as it does


@runtime_checkable
class Pixels(Protocol):
    """Images n c h w of uint8: an array, a memory map, or files decoded when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """n, c, h, w."""
        ...

    def __len__(self) -> int:
        """The number of images."""
        ...

    def __getitem__(self, index: Index) -> ndarray:
        """The images at these indices."""
        ...


class Split(NamedTuple):
    """The images of one split, their class labels where the source has classes, and what else it tells of each image.

    `others` are arrays by name, one value an image, that a prior may be conditioned on.
    """

    images: Pixels
    labels: Int64[ndarray, " n"] | None = None
    others: Mapping[str, Shaped[ndarray, "n ..."]] = {}

    @property
    def given(self) -> dict[str, Shaped[ndarray, "n ..."]]:
        """All that is known of each image, by name."""
        return dict(self.others) if self.labels is None else {"label": self.labels, **self.others}


def read(images: Pixels, index: Int64[ndarray, " b"], new: New) -> UInt8[ndarray, "b c h w"]:
    """The images at `index` in an array of their own."""
    if isinstance(images, ImageFiles):
        return images.read(index, new)
    x = new((len(index), *images.shape[1:]), np.uint8)
    if isinstance(images, ndarray):
        return np.take(images, index, axis=0, out=x, mode="clip")   # "raise" would go through a buffer
    x[...] = images[index]
    return x


def training_batch(
    split: Split, shape: tuple[int, int, int], flip: bool, seed: int, index: ndarray, epoch: int, new: New = np.empty
) -> ImageBatch:
    """Images as uint8 as they are in an epoch: a random window of `shape`, mirrored half the time if `flip`.

    `new` makes the array that they are read into.
    """
    x = read(split.images, index, new)
    if x.shape[1:] != shape:
        x = random_crop(x, *shape[1:], index, seed, epoch)
    if flip:
        x = random_flip(x, index, seed, epoch)
    return _batch(x, split.given, index)


def evaluation_batch(
    split: Split, shape: tuple[int, int, int], index: ndarray, epoch: int, new: New = np.empty
) -> ImageBatch:
    """The middles of images as uint8, the same in every epoch; `new` makes the array that they are read into."""
    return _batch(center_crop(read(split.images, index, new), *shape[1:]), split.given, index)


def _batch(x: UInt8[ndarray, "b c h w"], given: Mapping[str, ndarray], index: ndarray) -> ImageBatch:
    return ImageBatch(torch.from_numpy(np.ascontiguousarray(x)), chosen(given, index), torch.from_numpy(index))


def chosen(given: Mapping[str, ndarray], index: ndarray) -> dict[str, Tensor]:
    """What is given of these images."""
    return {name: torch.from_numpy(values[index]) for name, values in given.items()}
