"""Files and folders that appear only when they are whole, made once however many processes ask for them."""

import errno
import fcntl
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from tqdm import tqdm

from vqgen.errors import DataError, is_full
from vqgen.runs.confine import mark, require_allowed

_TRIES = 10   # to open a lock in a folder that others make and take away


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Wait for and hold the lock of `path`, which ends with the process; False where the disk knows no locks.

    What it makes for that it takes away again: the lock, and the folders of `path` in which nothing came to lie.
    """
    require_allowed(path, path.parent)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        with _held(path.with_name(f".{path.name}.lock")) as locked:
            yield locked
    finally:
        with suppress(OSError):   # a folder that is not empty, and so those around it
            for folder in made:
                folder.rmdir()


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Only who holds the lock that lies at its path may take that away; who waited for one taken away begins anew."""
    while True:
        with _opened(lock) as file:
            locked = _lock(file.fileno())
            if not _lies_at(file, lock):
                continue
            try:
                yield locked
            finally:
                lock.unlink(missing_ok=True)
            return


def _opened(lock: Path) -> IO[str]:
    for left in reversed(range(_TRIES)):
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            return open(lock, "a")
        except (FileNotFoundError, FileExistsError):   # another process took the folder away between these lines
            if not left:
                raise
    raise AssertionError


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _lies_at(file: IO[str], path: Path) -> bool:
    try:
        with open(path) as now:   # a network disk says by opening, not by looking, what is there
            return os.path.sameopenfile(now.fileno(), file.fileno())
    except FileNotFoundError:
        return False


def make_once(path: Path, make: Callable[[Path], None], cache: Path | None = None) -> Path:
    """Let `make` fill an empty folder, and call it `path` when it is whole; a folder already there is kept.

    What an interrupted process left behind is cleared away by the next one.

    Args:
        path: of the folder.
        make: fills it.
        cache: the folder above it, where that is to be marked as one of things that can be made again.

    Raises:
        DataError: the folder cannot be written, or its disk is full.
    """
    try:
        if not path.exists():
            require_allowed(path, cache or path)
            with alone(path) as locked:
                _clear(path, locked)
                if not path.exists():
                    _make(path, make)
                    if cache:
                        mark(cache)
    except OSError as error:
        raise DataError(f"{path} cannot be made: {error.strerror or error}. {_remedy(error, 'cache')}") from error
    return path


def _clear(path: Path, locked: bool) -> None:
    for remnant in path.parent.glob(f".{glob.escape(path.name)}.part-*") if locked else ():
        shutil.rmtree(remnant, ignore_errors=True)


def _make(path: Path, make: Callable[[Path], None]) -> None:
    folder = Path(mkdtemp(prefix=f".{path.name}.part-", dir=path.parent))
    try:
        make(folder)
        _publish(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, path: Path) -> None:
    folder.chmod(0o777 & ~_umask())
    try:
        folder.rename(path)
    except OSError:
        if not path.exists():   # else another process was first, on a disk without locks
            raise


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while reading a folder that `make_once` made into a DataError that says to delete it."""
    try:
        yield
    except (DataError, PermissionError):
        raise
    except Exception as error:   # numpy and json raise nearly anything for a damaged file
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise DataError(f"{folder} is not whole ({reason}); delete it, and it is made again.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name for one file, which becomes `path` when the block ends without an error."""
    require_allowed(path, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def require_space(folder: Path, size: int, option: str = "cache") -> None:
    """Raise DataError unless `size` bytes fit on the disk of `folder`, which data.`option` decides."""
    free = shutil.disk_usage(folder).free
    if free < size:
        left = f"its disk has {tqdm.format_sizeof(free, 'B')} left"
        raise _unwritten(folder, size, option, left, OSError(errno.ENOSPC, left))


@contextmanager
def writing(folder: Path, size: int, option: str = "cache") -> Iterator[None]:
    """Turn a failure to write some of `size` bytes into `folder` into a DataError as that of `require_space`."""
    try:
        yield
    except OSError as error:
        raise _unwritten(folder, size, option, f"writing failed: {error.strerror}", error) from error


def _unwritten(folder: Path, size: int, option: str, reason: str, error: OSError) -> DataError:
    return DataError(f"{folder} needs {tqdm.format_sizeof(size, 'B')}, and {reason}. {_remedy(error, option)}")


def _remedy(error: OSError, option: str) -> str:
    if is_full(error):
        return f"Make room there, or set data.{option} to a folder on another disk."
    return f"Mend that, or set data.{option} to a folder that can be written to."
