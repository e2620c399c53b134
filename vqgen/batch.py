"""What a data module hands to a model, and bytes to numbers. Data and models know this file and not each other."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

SPLITS = ("train", "val", "test")

Given = Mapping[str, Shaped[Tensor, "b ..."]]
"""Values of each image beside its pixels, by name: `label`, its class, and any others that a source has."""


def from_bytes(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Pixel values 0..255 to [-1, 1]."""
    return pixels.float().div_(127.5).sub_(1.0)


def to_bytes(x: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Values in [-1, 1] to 0..255, by rounding."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


class RawImages(NamedTuple):
    """Images as bytes, as they go to the device, and what is given of each, as in `ImageBatch`."""

    pixels: UInt8[Tensor, "b c h w"]
    given: Given
    index: Int[Tensor, " b"]  # type: ignore[assignment]  # a field, not tuple.index


class ImageBatch(NamedTuple):
    """Images in [-1, 1], what is given of each (nothing, where they have no classes), and the index in the split."""

    x: Float[Tensor, "b c h w"]
    given: Given
    index: Int[Tensor, " b"]  # type: ignore[assignment]  # a field, not tuple.index

    @property
    def label(self) -> Int[Tensor, " b"] | None:
        """The class of each image; None where the data have no classes."""
        return self.given.get("label")


class FileImage(NamedTuple):
    """An image file as a model gets it, in [-1, 1]."""

    x: Float[Tensor, "c h w"]
    inside: tuple[slice, slice]  # rows and columns that are no border
    said: str  # what was done to the file, in words; empty where its pixels are as they were


class Condition(NamedTuple):
    """What a prior is given beside its own codes: those of the levels above, top first, and what is known of images.

    The prior's conditioner takes of it what it was built for.
    """

    upper: Sequence[Int[Tensor, "b _ _"]] = ()
    given: Given = MappingProxyType({})

    def first(self, num: int) -> "Condition":
        """That of the first `num` samples."""
        return Condition([u[:num] for u in self.upper], {name: value[:num] for name, value in self.given.items()})


class CodeBatch(NamedTuple):
    """Code maps of one image each, top level first, with what is given of the image and the index in the split."""

    codes: list[Int[Tensor, "b _ _"]]
    given: Given
    index: Int[Tensor, " b"]  # type: ignore[assignment]  # a field, not tuple.index

    @property
    def label(self) -> Int[Tensor, " b"] | None:
        """The class of each image; None where the data have no classes."""
        return self.given.get("label")

    @property
    def condition(self) -> Condition:
        """What the prior of the last of these levels is given."""
        return Condition(self.codes[:-1], self.given)
