"""CIFAR-10 (Krizhevsky 2009): 60,000 photographs of 32 x 32 in ten classes."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vqgen.data.files.array_file import digest
from vqgen.data.sources.small_images import Arrays, SmallImages
from vqgen.errors import DataError

_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_ARCHIVES = {"cifar-10-binary.tar.gz": "cifar-10-batches-bin", "cifar-10-python.tar.gz": "cifar-10-batches-py"}
_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}  # without .bin: pickles
_ROW = 1 + 3 * 32 * 32  # bytes: the label and the image, channel by channel


class CIFAR10(SmallImages):
    """Small photographs in cifar-10-binary.tar.gz, or in the folder that was packed in it.

    cifar-10-python.tar.gz, or the pickles in it, will do: they are read without running anything.
    """

    channels, native = 3, (32, 32)
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """A hash of the rows of each of the published splits."""
        return {name: digest(self._rows(name)) for name in _FILES}

    def prepare_data(self) -> None:
        """Download the archive if there is neither it nor its files."""
        if not self._found():
            names = f"neither {' nor '.join(_ARCHIVES)}, nor {' nor '.join(_ARCHIVES.values())}"
            self.download(_URL, _MD5, f"CIFAR-10 is missing: {names}, is in {self.root.resolve()}", _URL)

    def published(self, split: str) -> Arrays:
        """Images and labels out of the rows."""
        rows = self._rows(split)
        return Arrays(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64))

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


def read_batch(content: bytes, where: str) -> UInt8[ndarray, "n 3073"]:
    """The rows of a file such as data_batch_1 as in the binary version: the label, and the image channel by channel.

    Raises DataError, which says `where` it is, if it holds something else than arrays, lists and text, or is not whole.
    """
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        # Python 2 has written keys of bytes, Python 3 text
        data, labels = (np.asarray(batch[k] if k in batch else batch[k.decode()]) for k in (b"data", b"labels"))
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _ROW - 1 or labels.shape != data.shape[:1]:
            raise ValueError(f"data of {data.dtype} {list(data.shape)} and labels of {list(labels.shape)}")
        if not np.isin(labels, np.arange(10)).all():
            raise ValueError("a label is none of 0 to 9")
        return np.hstack([labels.astype(np.uint8)[:, None], data])
    except pickle.UnpicklingError as error:
        raise DataError(f"{where} cannot be read: {error}. Put a whole copy there.") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise DataError(f"{where} is not whole ({reason}). Put a whole copy there.") from error


class _NumberArray(ndarray):
    """An array that takes no contents but numbers."""

    def __setstate__(self, state: tuple) -> None:
        if len(state) != 5 or np.dtype(state[2]).hasobject:
            raise pickle.UnpicklingError("an array in it holds objects")
        super().__setstate__(state)


_ALLOWED = {  # what makes an array
    ("numpy.core.multiarray", "_reconstruct"): lambda kind, shape, code: np.empty(0, np.uint8).view(_NumberArray),
    ("numpy.core.multiarray", "scalar"): lambda kind, content: int(np.frombuffer(content, kind)[0]),
    ("numpy", "ndarray"): _NumberArray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),  # how Python 3 writes bytes for Python 2
}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays of plain types and text, and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        """What is needed to make an array; the names are those of numpy 1 and 2."""
        module = module.replace("numpy._core.", "numpy.core.")
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, as no batch of CIFAR-10 does; nothing was run")
        return _ALLOWED[module, name]
