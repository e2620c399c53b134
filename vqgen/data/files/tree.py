"""The image files below a folder, in an order that does not change, with what can go wrong in a tree of folders."""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from vqgen.data.files.decode import IMAGE_SUFFIXES, SUFFIXES, is_image, shown
from vqgen.errors import DataError

_OF_THE_SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"}
_KIND = re.compile(r"\.[a-z][a-z0-9]{0,5}")   # of a file, by the end of its name; others are looked into


class File(NamedTuple):
    """An image file: its path below the root, with slashes, its size in bytes and when it was written, in ns.

    `changed` is when the system last saw it change, which no program can set back.
    """

    path: str
    size: int
    time: int
    changed: int = 0


class Tree(NamedTuple):
    """All image files below a folder, sorted by path, and what was not taken.

    `unreadable` are the folders and links that could not be read, with the reason; `foreign` the paths of images of
    kinds that are not read here, or that lead nowhere; `left_out` counts what is none of these, by reason.
    """

    files: list[File]
    unreadable: list[tuple[str, str]]
    foreign: Sequence[str] = ()
    left_out: Mapping[str, int] = {}


class Listing(NamedTuple):
    """The files of one split, and their class labels where there are classes."""

    files: list[File]
    labels: ndarray | None = None

    @property
    def paths(self) -> list[bytes]:
        """The files' paths, whatever their bytes."""
        return [os.fsencode(file.path) for file in self.files]

    def digest(self, times: bool) -> str:
        """A hash of names, sizes and labels, and of when the files were written, which a copy need not keep."""
        sha = hashlib.sha256()
        for path, size, time, _ in self.files:
            sha.update(os.fsencode(f"{path}\0{size}\0" + (f"{time}\0" if times else "")))
        if self.labels is not None:
            sha.update(np.ascontiguousarray(self.labels, np.int64).tobytes())
        return sha.hexdigest()[:16]


def scan(root: Path) -> Tree:
    """Walk through `root` and all folders in it, each once, however links lead around; hidden names are left out."""
    scan = _Scan()
    folders = [(str(root), "")]
    while folders:
        folder, below = folders.pop()
        try:
            if not scan.is_new(os.stat(folder)):
                scan.left_out["folders (links) that were read under another name"] += 1
                continue
            entries = sorted(scan.visible(folder), key=lambda entry: entry.name)
            if not entries:
                scan.left_out["empty folders"] += 1
        except OSError as error:
            scan.unreadable.append((shown(os.fsencode(below or ".")), str(error.strerror)))
            continue
        folders += [(entry.path, f"{below}{entry.name}/") for entry in reversed(entries) if _is_dir(entry)]
        for entry in entries:
            if not _is_dir(entry):
                scan.take(entry, f"{below}{entry.name}")
    return Tree(sorted(scan.files), scan.unreadable, sorted(scan.foreign), dict(scan.left_out))


class _Scan:
    """What has been found so far."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self.unreadable: list[tuple[str, str]] = []
        self.foreign: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._visited: set[tuple[int, int]] = set()

    def is_new(self, status: os.stat_result) -> bool:
        """Whether a folder has not been read yet."""
        place = (status.st_dev, status.st_ino)
        new = place not in self._visited
        self._visited.add(place)
        return new

    def visible(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """What lies in a folder, but for what a system puts there and what is hidden."""
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name.lower()
                if name in _OF_THE_SYSTEM:
                    self.left_out[f"{entry.name}"] += 1
                elif not name.startswith("."):
                    yield entry
                elif name.endswith(IMAGE_SUFFIXES) or _is_dir(entry):
                    self.left_out["hidden"] += 1

    def take(self, entry: os.DirEntry[str], path: str) -> None:
        """Count a file as what it is."""
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in SUFFIXES:
            self._add(entry, path)
        elif suffix in IMAGE_SUFFIXES:
            self.foreign.append(path)
            self.left_out[f"{suffix} (a kind of image that is not read here)"] += 1
        elif not _KIND.fullmatch(suffix) and _is_regular(entry) and is_image(entry.path):
            self._add(entry, path)
        else:
            self.left_out[f"{suffix} (no image)" if _KIND.fullmatch(suffix) else "files of no kind of image"] += 1

    def _add(self, entry: os.DirEntry[str], path: str) -> None:
        try:
            status = entry.stat()
            if stat.S_ISREG(status.st_mode):
                self.files.append(File(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
                return
            reason = "no ordinary file"   # to open a pipe would take for ever
        except OSError as error:   # a link to nowhere
            reason = str(error.strerror)
        self.foreign.append(path)
        self.unreadable.append((shown(os.fsencode(path)), reason))


def class_folders(files: Sequence[File], start: str = "") -> list[str]:
    """The folders in `start`, sorted, where every file lies in one of at least two; otherwise none."""
    names = {_folder_in(start, file) for file in files}
    return sorted(filter(None, names)) if None not in names and len(names) >= 2 else []


def labels_of(files: Sequence[File], class_names: Sequence[str], start: str = "") -> ndarray | None:
    """The number of each file's class, the name of its folder in `start`; None where there are no classes.

    Raises:
        DataError: a file lies in another folder.
    """
    if not class_names:
        return None
    numbers = {name: number for number, name in enumerate(class_names)}
    names = [_folder_in(start, file) for file in files]
    for file, name in zip(files, names, strict=True):
        if name not in numbers:
            place = shown(os.fsencode(file.path))
            raise DataError(
                f"{place} is in no folder of the {len(numbers)} classes of training, {class_names[0]} and others: move "
                "its folder away, or give training images of its class."
            )
    return np.array([numbers[name] for name in names if name], np.int64)


def stem_of(path: str) -> str:
    """What an image is called, in whichever folder and format it lies."""
    return PurePosixPath(path).stem


def inside(files: Sequence[File], start: str) -> list[File]:
    """The files below a folder, given by its path with a slash at the end."""
    return [file for file in files if file.path.startswith(start)]


def divide(files: Sequence[File], parts: Sequence[float]) -> list[list[File]]:
    """Divide by a hash of the paths: no seed, the same everywhere.

    Args:
        files: what to divide; so few that a part would be empty make up every part.
        parts: the fraction of each part but the first, which gets the rest.
    """
    if len(files) <= len(parts):
        return [sorted(files) for _ in range(len(parts) + 1)]
    ranked = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file.path)).digest())
    result, start = [], 0
    for part in parts:
        count = max(1, round(part * len(files)))
        result.append(sorted(ranked[start : start + count]))
        start += count
    return [sorted(ranked[start:]), *result]


def _folder_in(start: str, file: File) -> str | None:
    folder, slash, _ = file.path.removeprefix(start).partition("/")
    return folder if slash else None


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:   # a link to itself: it has no size either, and is told as a file that cannot be read
        return False


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
