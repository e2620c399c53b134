"""Each call of a task has a folder of its own."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vqgen.errors import UserError
from vqgen.tasks.results import results_folder


def _call(run: Path, out: str | None = None) -> Path:
    with results_folder(run, "sample", out) as folder:
        (folder / "samples.png").touch()
    return folder


def test_calls_are_numbered_and_none_writes_over_another(tmp_path: Path):
    assert [_call(tmp_path).name for _ in range(3)] == ["sample", "sample_2", "sample_3"]


def test_calls_at_once_have_different_folders(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: _call(tmp_path), range(32)))) == 32


def test_a_folder_that_is_asked_for_is_that_folder_each_time(tmp_path: Path):
    out = str(tmp_path / "a" / "b")
    assert _call(tmp_path, out) == _call(tmp_path, out) == Path(out)


def test_work_that_fails_leaves_no_folder(tmp_path: Path):
    for out in (None, str(tmp_path / "out")):
        with pytest.raises(KeyError), results_folder(tmp_path, "sample", out):
            raise KeyError
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_of_the_users_stays_when_work_fails(tmp_path: Path):
    with pytest.raises(KeyError), results_folder(tmp_path / "run", "sample", str(tmp_path)):
        raise KeyError
    assert tmp_path.is_dir()


def test_a_file_in_the_way_is_named_before_the_work_begins(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "inside"):
        with pytest.raises(UserError, match=r"^out=.*there is a file of that name; out is a folder$"):
            _call(tmp_path, str(out))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot go to '.*file/sample': Not a directory; out=FOLDER sends"):
        _call(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot go to '/proc/out': "):
        _call(tmp_path, "/proc/out")


def test_folders_made_for_nothing_go_again(tmp_path: Path):
    with pytest.raises(KeyError), results_folder(tmp_path / "runs" / "released", "sample"):
        raise KeyError
    assert not list(tmp_path.iterdir())
