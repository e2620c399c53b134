"""Writing a large array to a .npy file from its first row to its last."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from vqgen.data.error import DataError
from vqgen.data.whole import require_space


class ArrayFile:
    """A .npy file of known shape. Unlike a memory map, a full disk is an error here and not the end of the process.

    Raises DataError if there is no room on the disk, and when it is closed with rows missing.
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self.dtype, self.shape, self.rows = np.dtype(dtype), shape, 0
        require_space(path.parent, int(np.prod(shape)) * self.dtype.itemsize)
        self._file = open(path, "wb")   # noqa: SIM115 - closed by __exit__
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, rows: ndarray) -> None:
        """Write the next rows."""
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.rows += len(rows)

    def close(self) -> None:
        """Raises DataError where rows are missing."""
        self._file.close()
        if self.rows != self.shape[0]:
            raise DataError(f"{self._file.name} got {self.rows} rows and should have {self.shape[0]}.")

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
