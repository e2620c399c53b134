"""What a data module hands to a model. Data and models know this file and not each other."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class ImageBatch(NamedTuple):
    """Images in [-1, 1] with the class label (None where the data have none) and the index in the split."""

    x: Float[Tensor, "b c h w"]
    label: Int[Tensor, " b"] | None
    index: Int[Tensor, " b"]  # type: ignore[assignment]  # a field, not tuple.index


class FileImage(NamedTuple):
    """An image file as a model gets it.

    `x` is the image in [-1, 1], `inside` the rows and columns of it that are no border, and `said` what was done to
    the file, in words; empty where its pixels are as they were.
    """

    x: Float[Tensor, "c h w"]
    inside: tuple[slice, slice]
    said: str


class CodeBatch(NamedTuple):
    """Code maps of one image each, top level first, with the image's label and the index in the split."""

    codes: list[Int[Tensor, "b _ _"]]
    label: Int[Tensor, " b"] | None
    index: Int[Tensor, " b"]  # type: ignore[assignment]  # a field, not tuple.index
