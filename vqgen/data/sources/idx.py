"""The MNIST family: grey images of 28 x 28 in IDX files (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy import ndarray

from vqgen.data.files.array_file import digest
from vqgen.data.sources.small_images import Arrays, SmallImages
from vqgen.errors import DataError

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
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


class Idx(SmallImages):
    """Four IDX files, gzip or not, looked for in `root` and in the folders `also_in`."""

    channels, native = 1, (28, 28)
    also_in: Sequence[str] = ()
    address: str
    md5: ClassVar[Mapping[str, str]]

    @property
    def place(self) -> str:
        """The folder with the training images."""
        return str(self._find(_FILES["train"][0]).parent)

    @cached_property
    def digests(self) -> dict[str, str]:
        """A hash of the array in each file, gzip or not."""
        return {name: digest(read_idx(self._find(name))) for names in _FILES.values() for name in names}

    def prepare_data(self) -> None:
        """Download what is missing."""
        for name in (*_FILES["train"], *_FILES["test"]):
            self._find(name)

    def published(self, split: str) -> Arrays:
        """The arrays of two files."""
        images_name, labels_name = _FILES[split]
        x, labels = read_idx(self._find(images_name)), read_idx(self._find(labels_name)).astype(np.int64)
        if x.ndim != 3 or x.shape[1:] != (28, 28) or labels.shape != x.shape[:1]:
            raise DataError(f"{images_name} holds {list(x.shape)} and {labels_name} {list(labels.shape)}.")
        if labels.max(initial=0) >= len(self.class_names):
            raise DataError(f"{labels_name} holds the label {labels.max()}, and there are {len(self.class_names)}.")
        return Arrays(x[:, None], labels)

    def _find(self, name: str) -> Path:
        folders = [self.root, *map(Path, self.also_in)]
        for path in (folder / f"{name}{end}" for folder in folders for end in ("", ".gz")):
            if path.is_file():
                return path
        looked = " and ".join(str(folder.resolve()) for folder in folders)
        missing, files = f"{name}.gz is missing: it is not in {looked}", f"the four files of {self.address}/"
        return self.download(f"{self.address}/{name}.gz", self.md5[f"{name}.gz"], missing, files)


class Mnist(Idx):
    """70,000 handwritten digits (LeCun et al. 1998); the label is the digit."""

    class_names = tuple(map(str, range(10)))
    address = "https://ossci-datasets.s3.amazonaws.com/mnist"  # a mirror of http://yann.lecun.com/exdb/mnist
    md5: ClassVar = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }


class FashionMnist(Idx):
    """70,000 pictures of ten kinds of clothes (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).

    Debian's package dataset-fashion-mnist holds the files, too.
    """

    class_names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
    also_in = ("/usr/share/datasets/fashion-mnist",)
    address = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    md5: ClassVar = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
