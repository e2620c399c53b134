"""Files and folders that appear only when they are whole, made once however many processes ask for them."""

import errno
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from filelock import Timeout
from tqdm import tqdm

from vqgen.errors import DataError, is_full
from vqgen.runs.claim import locked
from vqgen.runs.confine import mark, require_allowed


@contextmanager
def alone(path: Path, wait: float = -1.0) -> Iterator[bool]:
    """Wait for and hold the lock of `path`, which ends with the process; False where the disk knows no locks.

    What it makes for that it takes away again: the lock, and the folders of `path` in which nothing came to lie.
    Where another process holds it for longer than `wait` seconds, filelock.Timeout is raised; -1 is no end.
    """
    require_allowed(path, path.parent)
    made = [folder for folder in path.parents if not folder.exists()]
    file = path.with_name(f".{path.name}.lock")
    lock = locked(file, wait)
    try:
        yield lock is not None
    finally:
        with suppress(OSError):  # Windows: it is open
            file.unlink()  # who waits for it begins anew
        if lock is not None:
            lock.release()
        with suppress(OSError):  # a folder that is not empty, and so those around it
            for folder in made:
                folder.rmdir()


def make_once(path: Path, make: Callable[[Path], None], cache: Path | None = None, wait: float = -1.0) -> Path:
    """Let `make` fill an empty folder, and call it `path` when it is whole; a folder already there is kept.

    What an interrupted process left behind is cleared away by the next one.

    Args:
        path: of the folder.
        make: fills it.
        cache: the folder above it, where that is to be marked as one of things that can be made again.
        wait: seconds for another process that is making it; -1 for no end.

    Raises:
        DataError: the folder cannot be written, or its disk is full.
        filelock.Timeout: another process is still making it.
    """
    try:
        if not path.exists():
            require_allowed(path, cache or path)
            with alone(path, wait) as is_alone:
                _clear(path, is_alone)
                if not path.exists():
                    _make(path, make)
                    if cache:
                        mark(cache)
    except Timeout:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be made: {error.strerror or error}. {_remedy(error, 'cache')}") from error
    return path


def _clear(path: Path, is_alone: bool) -> None:
    for remnant in path.parent.glob(f".{glob.escape(path.name)}.part-*") if is_alone else ():
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
        if not path.exists():  # else another process was first, on a disk without locks
            raise


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while reading a folder that `make_once` made into a DataError that says to delete it."""
    try:
        yield
    except (DataError, PermissionError):
        raise
    except Exception as error:  # numpy and json raise nearly anything for a damaged file
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
