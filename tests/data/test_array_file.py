import numpy as np
import pytest

from vqgen.data.files.array_file import ArrayFile, read_array
from vqgen.errors import DataError


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
    with (
        pytest.raises(DataError, match="got 2 rows and should have 3"),
        ArrayFile(tmp_path / "a.npy", "u1", (3, 4)) as file,
    ):
        file.append(np.zeros((2, 4)))


def test_a_disk_without_room_is_an_error_that_names_the_folder_and_the_size(tmp_path):
    (tmp_path / ".part").mkdir()
    with pytest.raises(DataError, match=rf"{tmp_path} needs 1.15EB, and its disk has .*GB left.*data\.cache"):
        ArrayFile(tmp_path / ".part" / "a.npy", "u1", (2**60,))


@pytest.mark.parametrize("rows", [10, 10_000])
def test_a_disk_that_fills_up_is_an_error_that_names_the_folder_and_the_size(tmp_path, rows):
    (tmp_path / ".part").mkdir()
    (tmp_path / ".part" / "a.npy").symlink_to("/dev/full")

    def write():
        with ArrayFile(tmp_path / ".part" / "a.npy", "u1", (rows, 100)) as file:
            for _ in range(rows):
                file.append(np.zeros((1, 100)))

    with pytest.raises(DataError, match=rf"{tmp_path} needs .*kB|MB, and writing failed: No space left on device"):
        write()


def test_an_array_of_another_type_or_shape_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4), np.uint8))
    assert read_array(tmp_path / "a.npy", (3, None), np.uint8).shape == (3, 4)
    for shape, dtype in [((3, 5), "u1"), ((3,), "u1"), ((3, 4, 1), "u1"), ((3, 4), "u2")]:
        with pytest.raises(ValueError, match=r"a.npy holds uint8 \[3, 4\], not"):
            read_array(tmp_path / "a.npy", shape, dtype)
