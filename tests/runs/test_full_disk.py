"""Whoever cannot write says why, and to make room only where that would help."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vqgen.config.command_line import _mistake
from vqgen.data.files.array_file import ArrayFile
from vqgen.errors import DataError, is_full
from vqgen.runs import checkpoint_io
from vqgen.runs.atomic import make_once, writing
from vqgen.runs.checkpoint_io import SaveError, WholeCheckpointIO

FULL = [errno.ENOSPC, errno.EDQUOT]
OTHER = [errno.EACCES, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.ESTALE]


@pytest.mark.parametrize("number", FULL + OTHER)
def test_every_writer_says_to_make_room_on_a_full_disk_and_only_there(tmp_path: Path, monkeypatch, number: int):
    """Checkpoints, folders that are made once, arrays and downloads, and whatever else a program writes."""

    def fail(*_):
        raise OSError(number, os.strerror(number))

    said = []
    monkeypatch.setattr(checkpoint_io, "_write", fail)
    with pytest.raises(SaveError) as caught:
        WholeCheckpointIO().save_checkpoint({}, tmp_path / "checkpoints/last.ckpt")
    said.append(str(caught.value))
    with pytest.raises(DataError) as caught:
        make_once(tmp_path / "cache", fail)
    said.append(str(caught.value))
    with pytest.raises(DataError) as caught, writing(tmp_path, 1000):
        fail()
    said.append(str(caught.value))
    for line in said:
        assert os.strerror(number) in line
        assert ("make room" in line.lower()) == (number in FULL)
        assert line.isprintable()
    for file in ([], ["metrics.csv"]):
        told = _mistake(OSError(number, os.strerror(number), *file))
        assert (told is None) == (number in OTHER and not file)
        assert told is None or ("make room" in str(told), not file or file[0] in str(told)) == (number in FULL, True)


def test_a_full_disk_is_known_behind_what_the_writer_of_checkpoints_makes_of_it(tmp_path: Path):
    with pytest.raises((OSError, RuntimeError)) as caught, open("/dev/full", "wb") as file:
        torch.save({"x": torch.zeros(10**6)}, file)
    assert is_full(caught.value)
    assert not is_full(RuntimeError("something else"))
    (tmp_path / ".part").mkdir()
    (tmp_path / ".part/a.npy").symlink_to("/dev/full")
    with pytest.raises(DataError, match="Make room"), ArrayFile(tmp_path / ".part/a.npy", "u1", (10, 10**6)) as array:
        array.append(np.zeros((10, 10**6), np.uint8))
