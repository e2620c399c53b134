"""Cutting and augmenting batches of images: plain functions of (seed, epoch, index) that can be sent to workers."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Int64, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from vqgen.batch import RawImages
from vqgen.data.files.prepare import ImageFiles, Index
from vqgen.data.loading.counter import integers, uniform

New = Callable[..., ndarray]  # np.empty, or what takes a shape and a type as it does


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
    """The images of one split, and what is given of each."""

    images: Pixels
    labels: Int64[ndarray, " n"] | None = None  # their classes, where the source has classes
    others: Mapping[str, Shaped[ndarray, "n ..."]] = {}  # by name, further values that a prior may be conditioned on

    @property
    def given(self) -> dict[str, Shaped[ndarray, "n ..."]]:
        """Labels and other values, by name."""
        return dict(self.others) if self.labels is None else {"label": self.labels, **self.others}


def read(images: Pixels, index: Int64[ndarray, " b"], new: New) -> UInt8[ndarray, "b c h w"]:
    """The images at `index` in an array of their own."""
    if isinstance(images, ImageFiles):
        return images.read(index, new)
    x = new((len(index), *images.shape[1:]), np.uint8)
    if isinstance(images, ndarray):
        return np.take(images, index, axis=0, out=x, mode="clip")  # "raise" would go through a buffer
    x[...] = images[index]
    return x


def random_flip(x: UInt8[ndarray, "b c h w"], index: Int[ndarray, " b"], *key: int) -> UInt8[ndarray, "b c h w"]:
    """Mirror each image left to right with probability 1/2, in place."""
    flipped = uniform(index, "flip", *key) < 0.5
    x[flipped] = x[flipped][..., ::-1]
    return x


def random_crop(
    x: UInt8[ndarray, "b c hh ww"], height: int, width: int, index: Int[ndarray, " b"], *key: int
) -> UInt8[ndarray, "b c h w"]:
    """Cut a window of height x width from each image, anywhere."""
    top = integers(index, x.shape[2] - height + 1, "top", *key)
    left = integers(index, x.shape[3] - width + 1, "left", *key)
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))
    return windows[np.arange(len(x)), :, top, left]


def center_crop(x: UInt8[ndarray, "b c hh ww"], height: int, width: int) -> UInt8[ndarray, "b c h w"]:
    """Cut the window of height x width in the middle of each image."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def bordered(x: UInt8[ndarray, "b c h w"], height: int, width: int) -> UInt8[ndarray, "b c hh ww"]:
    """The images in the middle of larger ones that are 0 around them."""
    top, left = (height - x.shape[2]) // 2, (width - x.shape[3]) // 2
    bottom, right = height - x.shape[2] - top, width - x.shape[3] - left
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


def training_batch(
    split: Split, shape: tuple[int, int, int], flip: bool, seed: int, index: ndarray, epoch: int, new: New = np.empty
) -> RawImages:
    """Images as they are in an epoch: a random window of `shape`, mirrored half the time if `flip`.

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
) -> RawImages:
    """The middles of images, the same in every epoch; `new` makes the array that they are read into."""
    return _batch(center_crop(read(split.images, index, new), *shape[1:]), split.given, index)


def _batch(x: UInt8[ndarray, "b c h w"], given: Mapping[str, ndarray], index: ndarray) -> RawImages:
    return RawImages(torch.from_numpy(np.ascontiguousarray(x)), chosen(given, index), torch.from_numpy(index))


def chosen(given: Mapping[str, ndarray], index: ndarray) -> dict[str, Tensor]:
    """What is given of these images."""
    return {name: torch.from_numpy(values[index]) for name, values in given.items()}
