import numpy as np
import pytest

from vqgen.data.array_file import ArrayFile
from vqgen.data.error import DataError


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("shape", [(10, 3), (10,), (10, 2, 0)])
def test_what_is_appended_is_what_is_loaded(tmp_path, dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    with ArrayFile(tmp_path / "a.npy", dtype, shape) as file:
        for part in (array[:3], array[3:4], array[4:]):
            file.append(part)
    loaded = np.load(tmp_path / "a.npy", mmap_mode="r" if array.size else None)
    assert np.array_equal(loaded, array)
    assert loaded.dtype == dtype


def test_missing_rows_are_an_error(tmp_path):
    file = ArrayFile(tmp_path / "a.npy", "u1", (3, 4))
    file.append(np.zeros((2, 4)))
    with pytest.raises(DataError, match="got 2 rows and should have 3"):
        file.close()


def test_a_disk_without_room_is_an_error(tmp_path):
    with pytest.raises(DataError, match="GB left"):
        ArrayFile(tmp_path / "a.npy", "u1", (2**60,))
