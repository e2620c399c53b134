"""Under SLURM: which folder a command of a job has, at first and each time that the job is queued again."""

import json
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from vqgen.environment.launcher import is_first, slurm_job, slurm_restarts
from vqgen.errors import ConfigError, FolderError
from vqgen.plain import PlainDict
from vqgen.runs.claim import hold, let_go
from vqgen.runs.folders import COMPOSED, require_free

RECORD = "slurm.json"  # in the folder of a run or a sweep of a job: whose it is
_PATIENCE = 120.0  # seconds in which the first process of a run finds its folder


class JobFolder(NamedTuple):
    """The folder of a command, and whether there is a run in it to go on with."""

    folder: Path
    goes_on: bool


def job_folder(wanted: Path, named: bool, words: list[str]) -> JobFolder:
    """The folder of this command, held from now on.

    A job may have several commands, alike or not: each has a folder of its own, and finds that again by its words when
    the job is queued again.

    Args:
        wanted: the folder.
        named: whether the user has named it; otherwise it is the job's, and further commands have numbers added.
        words: of the command.

    Raises:
        UserError: it is in use, or holds a run of another command.
    """
    mine = {"job": slurm_job(), "restart": slurm_restarts(), "step": os.environ.get("SLURM_STEP_ID"), "words": words}
    if not is_first():
        return _found(wanted, mine)
    for folder in (wanted,) if named else _numbers(wanted):
        try:
            hold(folder)
        except FolderError:
            if named:
                raise
            continue
        is_mine = _is_mine(folder, mine)
        if named and not is_mine:
            require_free(folder)
        if is_mine or named or not _is_taken(folder):
            goes_on = is_mine and (folder / COMPOSED).is_file()
            (folder / RECORD).write_text(json.dumps(mine | {"goes_on": goes_on}) + "\n")
            return JobFolder(folder, goes_on)
        let_go(folder)
    raise AssertionError("numbers do not end")


def _numbers(wanted: Path) -> Iterator[Path]:
    return (wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}") for number in count(1))


def _is_taken(folder: Path) -> bool:
    return (folder / RECORD).exists() or (folder / COMPOSED).exists()


def _is_mine(folder: Path, mine: PlainDict) -> bool:
    """Whether this command began in the folder before the job was queued again, and no other like it has it again."""
    if not mine["restart"]:
        return False
    if not (said := _read(folder)):
        return (folder / COMPOSED).is_file()  # of a version that kept no record
    same = all(said.get(key) == mine[key] for key in ("job", "words"))
    return same and said.get("restart", 0) < mine["restart"]


def _found(wanted: Path, mine: PlainDict) -> JobFolder:
    """The folder that the first process of this run has found."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        records = list(wanted.parent.glob(f"{wanted.name}*/{RECORD}"))
        for file in sorted(records, key=lambda file: file.stat().st_mtime, reverse=True):
            said = _read(file.parent)
            if said and all(said.get(key) == value for key, value in mine.items()):
                return JobFolder(file.parent, said["goes_on"])
        time.sleep(0.2)
    raise ConfigError(f"the first process of this run has taken no folder '{wanted}' in {_PATIENCE:.0f} seconds")


def _read(folder: Path) -> PlainDict:
    try:
        return dict(json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError):
        return {}
