"""Files and folders that are made once, and are whole."""

import multiprocessing
import os
import signal
import time

import pytest

from vqgen.errors import DataError
from vqgen.runs.atomic import alone, make_once


def in_processes(number, target, *arguments):
    processes = [multiprocessing.get_context("fork").Process(target=target, args=arguments) for _ in range(number)]
    for process in processes:
        process.start()
    return processes


def count(folder, times):
    """Add 1 to a number in a file, again and again, reading and writing it in two steps."""
    for _ in range(times):
        with alone(folder / "deep" / "number"):
            path = folder / "number"
            number = int(path.read_text()) if path.exists() else 0
            time.sleep(0.0002)
            path.write_text(str(number + 1))


def test_the_lock_is_held_by_one_at_a_time_though_it_is_taken_away_each_time(tmp_path):
    for process in in_processes(4, count, tmp_path, 50):
        process.join()
    assert (tmp_path / "number").read_text() == "200"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "number"]


def test_folders_made_for_a_lock_stay_only_where_something_came_to_lie_in_them(tmp_path):
    with alone(tmp_path / "a/b/c"):
        assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a").exists()
    (tmp_path / "a").mkdir()
    with alone(tmp_path / "a/b/c"):
        (tmp_path / "a/b/c").touch()
    assert list((tmp_path / "a/b").iterdir()) == [tmp_path / "a/b/c"]


def make_slowly(path):
    def make(folder):
        with open(path.parent / "made", "a") as made:
            made.write("once ")
        (folder / "half").touch()
        time.sleep(0.3)
        (folder / "whole").touch()

    make_once(path, make)


def test_many_processes_make_a_folder_once(tmp_path):
    for process in in_processes(4, make_slowly, tmp_path / "folder"):
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "made").read_text() == "once "
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "made"]


def test_what_a_killed_process_left_is_cleared_away_by_the_next(tmp_path):
    (process,) = in_processes(1, make_slowly, tmp_path / "folder")
    while process.is_alive() and not list(tmp_path.rglob("half")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "folder").exists()
    make_slowly(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "made"]
    assert (tmp_path / "folder/whole").exists()


def fail(folder):
    (folder / "half").touch()
    raise OSError(28, "No space left on device")


def test_a_folder_that_cannot_be_made_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}/a/b cannot be made: No space left on device"):
        make_once(tmp_path / "a/b", fail)
    assert list(tmp_path.iterdir()) == []
