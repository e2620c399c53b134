"""Files and folders that appear only when they are whole, made once however many processes ask for them."""

import fcntl
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from vqgen.data.error import DataError

_CACHE = "CACHEDIR.TAG"   # marks a folder of what can be made again (https://bford.info/cachedir)
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# made by vqgen, which makes it again where it is deleted\n"
_confined: list[Path] = []   # the only folders to be written to; none: any


def confine(*folders: Path) -> None:
    """From here on write into these folders and into marked caches alone, as paths come from the config of a run.

    Args:
        folders: those that the user has named; none for no limit.
    """
    _confined[:] = [folder.resolve() for folder in folders]


def _require_allowed(path: Path, whole: Path) -> None:
    """Raise DataError where nothing may be written to a path, a part of the folder `whole`."""
    place = path.resolve()
    if not _confined or any(place.is_relative_to(folder) for folder in _confined):
        return
    if not any((parent / _CACHE).is_file() for parent in place.parents):
        raise DataError(
            f"The config of the run would write '{path}', outside of '{_confined[0]}': refused. If your data go there, "
            f"say so: mkdir -p {whole} && touch {whole / _CACHE}"
        )


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Wait for and hold the lock of `path`, which ends with the process; False where the disk knows no locks."""
    _require_allowed(path, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "a") as lock:
        yield _lock(lock.fileno())


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def make_once(path: Path, make: Callable[[Path], None], cache: Path) -> Path:
    """Let `make` fill an empty folder, and call it `path` when it is whole; a folder already there is kept.

    What an interrupted process left behind is cleared away by the next one.

    Args:
        path: of the folder.
        make: fills it.
        cache: the folder above it that is marked as one of things that can be made again.
    """
    if path.exists():
        return path
    _require_allowed(path, cache)
    with alone(path) as locked:
        if locked:
            for remnant in path.parent.glob(f".{glob.escape(path.name)}.part-*"):
                shutil.rmtree(remnant, ignore_errors=True)
        if not path.exists():
            folder = Path(mkdtemp(prefix=f".{path.name}.part-", dir=path.parent))
            try:
                make(folder)
                _publish(folder, path)
                (cache / _CACHE).write_text(_SIGNATURE)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return path


def _publish(folder: Path, path: Path) -> None:
    folder.chmod(0o777 & ~_umask())
    try:
        folder.rename(path)
    except OSError:
        if not path.exists():   # else another process was first, on a disk without locks
            raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name for one file, which becomes `path` when the block ends without an error."""
    _require_allowed(path, path.parent)
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


def require_space(folder: Path, size: int) -> None:
    """Raise DataError unless `size` bytes fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DataError(f"{folder.parent} needs {size / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB left.")
