"""CIFAR-10 (Krizhevsky 2009): 60,000 photographs of 32 x 32 in ten classes."""

import tarfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vqgen.data.error import OPTION, folder_of, require
from vqgen.data.files.digest import digest
from vqgen.data.files.download import download
from vqgen.data.images import Images, Split, hold_out
from vqgen.data.loading.augment import bordered
from vqgen.data.sources.cifar_pickle import read_batch
from vqgen.errors import DataError

_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_ARCHIVES = {"cifar-10-binary.tar.gz": "cifar-10-batches-bin", "cifar-10-python.tar.gz": "cifar-10-batches-py"}
_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}   # without .bin: pickles
_NUM_VAL = 5000   # of the 50,000 published training images, the same for every seed
_ROW = 1 + 3 * 32 * 32   # bytes: the label and the image, channel by channel


class CIFAR10(Images):
    """Small photographs; a larger `shape` gets a border of zeros.

    5,000 of the published training images, the same for every seed, are the validation split.

    Args:
        root: folder that holds, or gets, cifar-10-binary.tar.gz or what is in it; cifar-10-python.tar.gz, or the
            pickles in it, will do: they are read without running anything.
        Others as in Images.
    """

    native = (32, 32)
    how = "val is held out of the published training images"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(self, root: str, **images: Any) -> None:
        super().__init__(**images)
        fits = self.shape[0] == 3 and min(self.shape[1:]) >= 32
        require(fits, "shape", list(self.shape), "the images are [3, 32, 32], and larger sizes get a border")
        self.root = folder_of("root", root)

    def source(self) -> dict[str, Any]:
        """Hashes of what is in the files, and how the training images are split."""
        return {"content": self._content, "num_val": _NUM_VAL}

    @cached_property
    def _content(self) -> dict[str, str]:
        """A hash of the rows of each of the published splits."""
        return {name: digest(self._rows(name)) for name in _FILES}

    def prepare_data(self) -> None:
        """Download the archive if there is neither it nor its files."""
        if self._found():
            return
        archive = self.root / _URL.rpartition("/")[2]
        try:
            download(_URL, archive, _MD5)
        except OSError as error:
            raise DataError(
                f"CIFAR-10 is missing: neither {' nor '.join(_ARCHIVES)}, nor {' nor '.join(_ARCHIVES.values())}, "
                f"is in {self.root.resolve()}, and the download failed ({error}). Put {_URL} there, or set {OPTION} to "
                "the folder with it, or take data=shapes, which needs no files."
            ) from error

    def load(self, split: str) -> Split:
        """Read the split."""
        self.prepare_data()
        rows = self._rows("test" if split == "test" else "train")
        if split != "test":
            rows = rows[hold_out(len(rows), _NUM_VAL)[split]]
        images = bordered(rows[:, 1:].reshape(-1, 3, 32, 32), *self.held_shape[1:])
        return Split(images, rows[:, 0].astype(np.int64))

    @property
    def place(self) -> str:
        """The archive, or the folder with what was in it."""
        return str(self._found())

    def _rows(self, name: str) -> UInt8[ndarray, "n 3073"]:
        """Label and pixels of each image of a published split."""
        return np.concatenate([self._batch(file) for file in _FILES[name]])

    def _found(self) -> Path | None:
        """The folder with the files, or else an archive; the binary version before the one for Python."""
        test = _FILES["test"][0]
        for name in (test, test.removesuffix(".bin")):
            for folder in (self.root, *map(self.root.joinpath, _ARCHIVES.values())):
                if (folder / name).is_file():
                    return folder
        return next((path for path in map(self.root.joinpath, _ARCHIVES) if path.is_file()), None)

    def _batch(self, name: str) -> UInt8[ndarray, "n 3073"]:
        place = self._found() or self.root
        pickled = not (place / _FILES["test"][0]).is_file() if place.is_dir() else "python" in place.name
        name = name.removesuffix(".bin") if pickled else name
        where = f"{name} in {place}"
        try:
            content = (place / name).read_bytes() if place.is_dir() else _from_archive(place, name)
        except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{where} cannot be read: {error}. Put a whole copy there.") from error
        if pickled:
            return read_batch(content, where)
        if len(content) == 0 or len(content) % _ROW or np.frombuffer(content, np.uint8)[::_ROW].max() > 9:
            raise DataError(f"{where} is not whole ({len(content)} bytes). Put a whole copy there.")
        return np.frombuffer(content, np.uint8).reshape(-1, _ROW)


def _from_archive(path: Path, name: str) -> bytes:
    with tarfile.open(path, "r:gz") as archive:
        member = archive.extractfile(f"{_ARCHIVES[path.name]}/{name}")
        if member is None:
            raise KeyError("it is no file")
        return member.read()
