"""Arrays in .npy files, written from the first row to the last, and hashes of arrays."""

import hashlib
import json
import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from vqgen.errors import DataError
from vqgen.runs.atomic import require_space, writing


class ArrayFile:
    """A .npy file. Unlike a memory map, a full disk is an error here and not the end of the process.

    Raises DataError where the disk has no room, and at the end of the block where rows are missing.

    Args:
        path: of the file.
        dtype: of its numbers.
        shape: rows, and the shape of a row; as many rows as are appended where the first is None.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int | None, ...]) -> None:
        self.path, self.dtype, self.shape, self.rows = path, np.dtype(dtype), shape, 0
        self.size = math.prod(size or 0 for size in shape) * self.dtype.itemsize
        self.folder = path.parent.parent  # the path's own folder has a temporary name
        require_space(self.folder, self.size)
        self._file = open(path, "wb")  # noqa: SIM115 - closed by __exit__
        self._write_header(shape[0] or 0)

    def _write_header(self, rows: int) -> None:
        """Write the header, in which NumPy leaves room for any number of rows."""
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, header | {"shape": (rows, *self.shape[1:])})

    def append(self, rows: ndarray) -> None:
        """Write the next rows."""
        self.size += rows.nbytes if self.shape[0] is None else 0
        with writing(self.folder, self.size):
            self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.rows += len(rows)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            with suppress(OSError):  # what is left to write fails as what was written did
                self._file.close()
            return
        with writing(self.folder, self.size), self._file:
            if self.shape[0] is None:
                self._file.seek(0)
                self._write_header(self.rows)
            self._file.flush()
            os.fsync(self._file.fileno())  # else a whole folder could hold an empty file after the power fails
        if self.shape[0] not in (None, self.rows):
            raise DataError(f"{self.path} got {self.rows} rows and should have {self.shape[0]}.")


def read_array(path: Path, shape: tuple[int | None, ...], dtype: DTypeLike) -> ndarray:
    """A memory map of a .npy file. Raises ValueError unless it has this type and shape (None: any length)."""
    array = np.lib.format.open_memmap(path, mode="r")
    wanted = tuple(n if wish is None else wish for wish, n in zip(shape, array.shape, strict=False))
    if array.shape != wanted or len(shape) != array.ndim or array.dtype != dtype:
        raise ValueError(f"{path.name} holds {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} {list(shape)}")
    return np.asarray(array)


def digest(*parts: object) -> str:
    """A hash of arrays and plain values (16 hexadecimal digits)."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, ndarray):
            sha.update(f"{part.dtype.str} {part.shape}".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            sha.update(json.dumps(part, sort_keys=True).encode())
    return sha.hexdigest()[:16]
