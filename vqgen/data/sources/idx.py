"""The IDX files of the MNIST family (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray

from vqgen.data.error import OPTION, folder_of, require
from vqgen.data.files.digest import digest
from vqgen.data.files.download import download
from vqgen.data.images import Images, Split, hold_out
from vqgen.data.loading.augment import bordered
from vqgen.errors import DataError

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_NUM_VAL = 5000   # of the 60,000 published training images
_UBYTE = 8


def read_idx(path: Path) -> ndarray:
    """The uint8 array of an IDX file, gzip or not. Raises DataError naming the file where it is not whole."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Delete it or put a whole copy there.") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UBYTE]) or content[3] > 3:
        raise DataError(f"{path} is not an IDX file of bytes: its first bytes are '{content[:4].hex()}'.")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start]) if len(content) >= start else (-1,)
    if len(content) - start != math.prod(shape):
        raise DataError(f"{path} is not whole: {len(content) - start} bytes for an array of {list(shape)}.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


class Idx(Images):
    """Grey images of 28 x 28 in IDX files; a larger `shape` gets a border of zeros.

    5,000 of the 60,000 published training images, the same for every seed, are the validation split.

    Args:
        root: folder with the four files, gzip or not; they are downloaded to it where they are nowhere else.
        Others as in Images.
    """

    native = (28, 28)
    how = "val is held out of the published training images"
    also_in: Sequence[str] = ()
    address: str
    md5: ClassVar[Mapping[str, str]]

    def __init__(self, root: str, **images: Any) -> None:
        super().__init__(**images)
        fits = self.shape[0] == 1 and min(self.shape[1:]) >= 28
        require(fits, "shape", list(self.shape), "the images are [1, 28, 28], and larger sizes get a border")
        self.root = folder_of("root", root)

    @property
    def place(self) -> str:
        """The folder with the training images."""
        return str(self._find(_FILES["train"][0]).parent)

    def source(self) -> dict[str, Any]:
        """Hashes of what is in the files, and how the training images are split."""
        return {"content": self._content, "num_val": _NUM_VAL}

    @cached_property
    def _content(self) -> dict[str, str]:
        """A hash of the array in each file, gzip or not."""
        return {name: digest(read_idx(self._find(name))) for names in _FILES.values() for name in names}

    def prepare_data(self) -> None:
        """Download what is missing."""
        for names in _FILES.values():
            for name in names:
                self._find(name)

    def load(self, split: str) -> Split:
        """Read and pad the split."""
        images_name, labels_name = _FILES["test" if split == "test" else "train"]
        x, labels = read_idx(self._find(images_name)), read_idx(self._find(labels_name)).astype(np.int64)
        if x.ndim != 3 or x.shape[1:] != (28, 28) or labels.shape != x.shape[:1]:
            raise DataError(f"{images_name} holds {list(x.shape)} and {labels_name} {list(labels.shape)}.")
        if labels.max(initial=0) >= len(self.class_names):
            raise DataError(f"{labels_name} holds the label {labels.max()}, and there are {len(self.class_names)}.")
        if split != "test":
            chosen = hold_out(len(x), _NUM_VAL)[split]
            x, labels = x[chosen], labels[chosen]
        return Split(bordered(x[:, None], *self.held_shape[1:]), labels)

    def _find(self, name: str) -> Path:
        folders = [self.root, *map(Path, self.also_in)]
        for path in (folder / f"{name}{end}" for folder in folders for end in ("", ".gz")):
            if path.is_file():
                return path
        path, url = self.root / f"{name}.gz", f"{self.address}/{name}.gz"
        try:
            download(url, path, self.md5[f"{name}.gz"])
        except OSError as error:
            looked = " and ".join(str(folder.resolve()) for folder in folders)
            raise DataError(
                f"{name}.gz is missing: it is not in {looked}, and the download failed ({error}). Put the four "
                f"files of {self.address}/ there, or set {OPTION} to the folder with them, or take "
                "data=shapes, which needs no files."
            ) from error
        return path
