"""A folder belongs to one process at a time: that of a run, of a sweep, or of a task's results."""

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from vqgen.environment.launcher import slurm_job
from vqgen.errors import FolderError
from vqgen.plain import PlainDict

LOCK = "in_use.lock"  # in a folder that is in use: who uses it
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what a disk answers that knows none
_TRIES = 10  # to open a lock in a folder that others make and take away
_held: dict[Path, tuple[FileLock, PlainDict]] = {}  # by this process: its lock files


@contextmanager
def claimed(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder until the block ends, or the process does.

    The lock is the operating system's: a process that is killed, however hard, has let go. Where the disk knows no
    locks, that is said, and the block is entered.

    Args:
        folder: made where it is missing; one that `hold` has taken is let go of at the end, too.
        wait: seconds to wait for another process to let go.

    Raises:
        FolderError: another process holds it; the message says which.
    """
    hold(folder, wait)
    try:
        yield
    finally:
        let_go(folder)


def hold(folder: Path, wait: float = 0.0) -> None:
    """As `claimed`, to the end of the process or until `let_go`."""
    file = folder.resolve() / LOCK
    if file in _held:
        return
    try:
        lock = locked(file, wait)
    except Timeout:
        raise FolderError(
            f"'{folder}' is in use by {_told(_read(file))}: wait for its end or stop it, or take another folder"
        ) from None
    if lock is None:
        print(f"note: the disk of '{folder}' knows no locks: see to it that nothing else uses it", file=sys.stderr)
        return
    mine = _mine()
    _warn(folder, _read(file), mine)
    file.write_text(json.dumps(mine) + "\n")
    _held[file] = lock, mine


def locked(file: Path, wait: float = -1.0) -> FileLock | None:
    """Hold a lock file, made with its folders where it is missing; None where the disk knows no locks.

    Args:
        file: that only this is written to; who holds it may remove it before it lets go.
        wait: seconds until filelock.Timeout is raised; -1 for no end.
    """
    lock = FileLock(file, fallback_to_soft=False)
    for left in reversed(range(_TRIES)):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=wait)
            return lock
        except (FileNotFoundError, FileExistsError):  # another process took the folder away between these lines
            if not left:
                raise
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            break
    return None


def unlocked(lock: FileLock | None) -> None:
    """Let go of a lock, and leave no file behind; who waits with the file open begins anew."""
    if lock is not None:
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def in_use(folder: Path) -> bool:
    """Whether another process holds a folder."""
    file = folder.resolve() / LOCK
    if file in _held or not file.exists():
        return False
    try:
        lock = locked(file, wait=0.0)
    except Timeout:
        return True
    if lock is not None:
        lock.release()
    return False


def let_go(folder: Path) -> None:
    """Leave a folder to others, without a trace; nothing where it is not held."""
    file = folder.resolve() / LOCK
    lock, mine = _held.pop(file, (None, None))
    if lock is None:
        return
    if _read(file) == mine:  # the folder may have been moved, and another be in its place
        with suppress(OSError):
            file.unlink()  # before others can have it: who opened it begins anew
    lock.release()


def _mine() -> PlainDict:
    """What a lock says of this process."""
    since = datetime.now().isoformat(" ", "seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "slurm_job": slurm_job()}


def _read(file: Path) -> PlainDict:
    try:
        said = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _told(said: PlainDict) -> str:
    if not said:
        return "another process"
    job = f", SLURM job {said['slurm_job']}" if said.get("slurm_job") else ""
    return f"process {said.get('pid')} on {said.get('host')}{job}, since {said.get('since')}"


def _warn(folder: Path, before: PlainDict, mine: PlainDict) -> None:
    """Say who was killed in this folder elsewhere, or else still runs there: a network disk's locks may not reach."""
    requeued = mine["slurm_job"] and before.get("slurm_job") == mine["slurm_job"]
    if before and before.get("host") != mine["host"] and not requeued:
        print(f"note: '{folder}' was not let go of by {_told(before)}; if that still runs, stop it", file=sys.stderr)
