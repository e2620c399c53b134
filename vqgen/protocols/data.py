"""What may be asked of the images that a run was trained on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from numpy import ndarray

from vqgen.batch import FileImage, ImageBatch


@runtime_checkable
class Split(Protocol):
    """The images of a split and their classes."""

    @property
    def images(self) -> Sequence[ndarray]:
        """As bytes."""

    @property
    def labels(self) -> Int[ndarray, " n"] | None:
        """The class of each; None without classes."""

    @property
    def given(self) -> Mapping[str, ndarray]:
        """All that is known of each, by name."""


@runtime_checkable
class Images(Protocol):
    """The images that a run was trained on."""

    shape: Sequence[int]

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of an image that are no border."""

    def split(self, name: str) -> Split:
        """The images of train, val or test."""

    def batch(self, name: str, index: Int[ndarray, " b"]) -> ImageBatch:
        """Those at `index`, in [-1, 1]."""

    def from_file(self, path: str | Path, channels: int | None = None) -> FileImage:
        """A file, prepared as the images of the splits are."""

    def variance(self) -> float:
        """Of all training pixels."""

    def attributes(self, split: str) -> "Attributes | None":
        """Named numbers of every image, where there are any."""


@runtime_checkable
class RecordedImages(Images, Protocol):
    """Images that tell what was read of them, for a checkpoint, and compare it where they are opened again."""

    class_names: Sequence[str]
    compare: Callable[["RecordedImages", str], None] | None

    @property
    def origin(self) -> str:
        """Where they come from."""
        ...

    def record(self, split: str) -> dict[str, object]:
        """What was read of a split, as plain data."""
        ...


@runtime_checkable
class Attributes(Protocol):
    """Named numbers of every image of a split."""

    names: list[str]
    values: Float[ndarray, "n a"]
