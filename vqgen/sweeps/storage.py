"""Where the trials of a search lie: a database, or a journal to which every process appends."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from vqgen.errors import ConfigError, FolderError, first_line
from vqgen.runs.claim import locked, unlocked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "search.journal"  # in the folder of a sweep: the storage, where the user names no other


def located(storage: str | None, folder: Path) -> str:
    """The storage of a search, the same from any working directory."""
    sqlite, path = "sqlite:///", storage or str(folder / JOURNAL)
    if path.startswith(sqlite):
        return sqlite + str(Path(path.removeprefix(sqlite)).absolute())
    return path if "://" in path else str(Path(path).absolute())


def storage_at(storage: str) -> "BaseStorage":
    """A database by its URL, or a journal by its path: a file to which every process appends."""
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    if storage.startswith("sqlite:"):
        return RDBStorage(storage, engine_kwargs={"connect_args": {"timeout": 60}})  # seconds to wait for others
    if "://" in storage:
        return get_storage(storage)
    _require_journal(Path(storage))
    lock: Any = _JournalLock(Path(storage))
    return JournalStorage(JournalFileBackend(storage, lock))


def _require_journal(file: Path) -> None:
    """Raise ConfigError where there is a file that is none, before anything is written to it."""
    if not file.is_file() or not file.stat().st_size:
        return
    try:
        with file.open("rb") as lines:
            is_journal = "op_code" in json.loads(lines.readline())
    except (ValueError, TypeError):
        is_journal = False
    if not is_journal:
        raise ConfigError(f"hydra.sweeper.storage={file}: no journal of Optuna; a database is given as sqlite:///FILE")


@contextmanager
def readable(storage: str) -> Iterator[None]:
    """What Optuna and its database cannot read or open, in one line."""
    import optuna

    try:
        yield
    except (ConfigError, FolderError):
        raise
    except Exception as error:  # each kind of storage has its own
        raise ConfigError(
            f"hydra.sweeper.storage={shown(storage)}: Optuna {optuna.__version__} cannot read or write it "
            f"({type(error).__name__}: {first_line(error)}); take another file, or the version that wrote it"
        ) from error


def shown(storage: str) -> str:
    """A storage without its password."""
    return re.sub(r"(://[^:/@]*):[^/@]*@", r"\1:***@", storage)


class _JournalLock:
    """The lock of a journal, which the operating system takes from a process that is killed.

    What that process had not written to its end is taken away, so that the journal can be read on.
    """

    def __init__(self, journal: Path) -> None:
        self._journal, self._file = journal, journal.with_name(f"{journal.name}.lock")
        self._lock: FileLock | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock = locked(self._file)
        with self._journal.open("rb+") as journal:
            end = journal.seek(0, os.SEEK_END)
            start = max(0, end - 2**20)
            journal.seek(start)
            tail = journal.read()
            if tail and not tail.endswith(b"\n") and b"\n" in tail:
                journal.truncate(start + tail.rindex(b"\n") + 1)
        return True

    def release(self) -> None:
        """Let others have it."""
        unlocked(self._lock)
