"""The image files below a folder, in an order that does not change, with what can go wrong in a tree of folders."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from vqgen.data.decode import SUFFIXES, shown
from vqgen.data.error import DataError


class File(NamedTuple):
    """An image file: its path below the root, with slashes, its size in bytes and when it was written, in ns."""

    path: str
    size: int
    time: int


class Tree(NamedTuple):
    """All image files below a folder, sorted by path, and the folders and links that could not be read."""

    files: list[File]
    unreadable: list[tuple[str, str]]   # path and reason


class Listing(NamedTuple):
    """The files of one split, and their class labels where there are classes."""

    files: list[File]
    labels: ndarray | None = None


def scan(root: Path) -> Tree:
    """Walk through `root` and all folders in it, each once, however links lead around; hidden names are left out."""
    files: list[File] = []
    unreadable: list[tuple[str, str]] = []
    visited: set[tuple[int, int]] = set()
    folders = [(str(root), "")]
    while folders:
        folder, below = folders.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = sorted(_visible(folder), key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append((shown(os.fsencode(below or ".")), str(error.strerror)))
            continue
        for entry in reversed(entries):
            if _is_dir(entry):
                folders.append((entry.path, f"{below}{entry.name}/"))
        for entry in entries:
            if entry.name.lower().endswith(SUFFIXES) and not _is_dir(entry):
                _add(files, unreadable, entry, f"{below}{entry.name}")
    return Tree(sorted(files), unreadable)


def digest(listing: Listing, times: bool) -> str:
    """A hash of the names, sizes and labels of files, and of when they were written, which a copy need not keep."""
    sha = hashlib.sha256()
    for path, size, time in listing.files:
        sha.update(os.fsencode(f"{path}\0{size}\0" + (f"{time}\0" if times else "")))
    if listing.labels is not None:
        sha.update(np.ascontiguousarray(listing.labels, np.int64).tobytes())
    return sha.hexdigest()[:16]


def class_folders(files: Sequence[File], depth: int = 0) -> list[str]:
    """The folders at this depth, sorted, where every file lies in one of at least two; otherwise none."""
    names = {_folder_at(file, depth) for file in files}
    return sorted(filter(None, names)) if None not in names and len(names) >= 2 else []


def labels_of(files: Sequence[File], class_names: Sequence[str], depth: int = 0) -> ndarray | None:
    """The number of each file's class, None where there are no classes. Raises DataError for another folder."""
    if not class_names:
        return None
    numbers = {name: number for number, name in enumerate(class_names)}
    names = [_folder_at(file, depth) for file in files]
    for file, name in zip(files, names, strict=True):
        if name not in numbers:
            place = shown(os.fsencode(file.path))
            raise DataError(f"{place} is in no folder of the {len(numbers)} classes, {class_names[0]} and others.")
    return np.array([numbers[name] for name in names if name], np.int64)


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


def _folder_at(file: File, depth: int) -> str | None:
    folders = file.path.split("/")[:-1]
    return folders[depth] if len(folders) > depth else None


def _visible(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:   # a link to itself: it has no size either, and is told as a file that cannot be read
        return False


def _add(files: list[File], unreadable: list[tuple[str, str]], entry: os.DirEntry[str], path: str) -> None:
    try:
        status = entry.stat()
    except OSError as error:   # a link to nowhere
        unreadable.append((shown(os.fsencode(path)), str(error.strerror)))
        return
    if stat.S_ISREG(status.st_mode):
        files.append(File(path, status.st_size, status.st_mtime_ns))
    else:   # to open a pipe would take for ever
        unreadable.append((shown(os.fsencode(path)), "no ordinary file"))
