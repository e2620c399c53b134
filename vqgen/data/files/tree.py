"""The image files below a folder, sorted, with the errors that a tree of folders can have."""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from vqgen.data.files.decode import IMAGE_SUFFIXES, SUFFIXES, is_image, shown
from vqgen.errors import DataError

_OF_THE_SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"}
_KIND = re.compile(r"\.[a-z][a-z0-9]{0,5}")  # of a file, by the end of its name; others are looked into


class File(NamedTuple):
    """An image file."""

    path: str  # below the root, with slashes
    size: int  # bytes
    time: int  # when it was written, ns
    changed: int = 0  # when the system last saw it change, which no program can set back


class Tree(NamedTuple):
    """All image files below a folder, sorted by path, and what was not taken."""

    files: list[File]
    unreadable: list[tuple[str, str]]  # folders and links that could not be read, with the reason
    foreign: list[str]  # paths of images of kinds that are not read here, or that lead nowhere
    left_out: Mapping[str, int] = {}  # the number of all others, by reason


class Listing(NamedTuple):
    """The files of one split, and their class labels where there are classes."""

    files: list[File]
    labels: ndarray | None = None

    @property
    def paths(self) -> list[bytes]:
        """The files' paths as bytes, which need not be UTF-8."""
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
    tree, left_out, visited = Tree([], [], []), Counter[str](), set()

    def below(folder: str) -> str:
        path = os.path.relpath(folder, root).replace(os.sep, "/")
        return "" if path == "." else f"{path}/"

    def refuse(error: OSError) -> None:
        tree.unreadable.append((shown(below(error.filename) or "."), str(error.strerror)))

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            left_out["folders (links) that were read under another name"] += 1
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in sorted(folders) if _is_visible(name, True, left_out)]
        visible = [name for name in names if _is_visible(name, False, left_out)]
        left_out["empty folders"] += not folders and not visible
        start = below(folder)
        for name in visible:
            _take(f"{folder}{os.sep}{name}", f"{start}{name}", tree, left_out)
    return Tree(sorted(tree.files), tree.unreadable, sorted(tree.foreign), +left_out)


def _is_visible(name: str, is_folder: bool, left_out: Counter[str]) -> bool:
    """Whether an entry is neither hidden nor of those that a system puts there, which are counted."""
    if name.lower() in _OF_THE_SYSTEM:
        left_out[name] += 1
        return False
    hidden = name.startswith(".")
    left_out["hidden"] += hidden and (is_folder or name.lower().endswith(IMAGE_SUFFIXES))
    return not hidden


def _take(place: str, path: str, tree: Tree, left_out: Counter[str]) -> None:
    """Count a file, given by its whole path and by that below the root, as what it is."""
    suffix = os.path.splitext(path)[1].lower()
    is_known = _KIND.fullmatch(suffix) is not None
    if suffix not in SUFFIXES and suffix in IMAGE_SUFFIXES:
        tree.foreign.append(path)
        left_out[f"{suffix} (a kind of image that is not read here)"] += 1
    elif suffix in SUFFIXES or (not is_known and os.path.isfile(place) and is_image(place)):
        try:
            status = os.stat(place)
            if stat.S_ISREG(status.st_mode):
                tree.files.append(File(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
                return
            reason = "no ordinary file"  # to open a pipe would take for ever
        except OSError as error:  # a link to nowhere, or to itself
            reason = str(error.strerror)
        tree.foreign.append(path)
        tree.unreadable.append((shown(path), reason))
    else:
        left_out[f"{suffix} (no image)" if is_known else "files of no kind of image"] += 1


class Subtree(NamedTuple):
    """The files below a folder; `start` is its path below the root, empty or with a slash at the end."""

    files: list[File]
    start: str = ""

    def below(self, start: str) -> "Subtree":
        """The files of these below another folder."""
        return Subtree([file for file in self.files if file.path.startswith(start)], start)

    def folder(self, file: File) -> str:
        """The folder in `start` that a file lies in; empty where it lies in `start` itself."""
        folder, slash, _ = file.path.removeprefix(self.start).partition("/")
        return folder if slash else ""

    def class_folders(self) -> list[str]:
        """The folders in `start`, sorted, where every file lies in one of at least two; otherwise none."""
        names = {self.folder(file) for file in self.files}
        return sorted(names) if "" not in names and len(names) >= 2 else []

    def labelled(self, class_names: Sequence[str]) -> Listing:
        """The files, each with the number of its class, which is its folder; without labels if there are no classes.

        Raises DataError where a file lies in another folder.
        """
        numbers, names = {name: i for i, name in enumerate(class_names)}, [self.folder(file) for file in self.files]
        for file, name in zip(self.files, names, strict=True):
            if numbers and name not in numbers:
                raise DataError(
                    f"{shown(file.path)} is in no folder of the {len(numbers)} classes of training, {class_names[0]} "
                    "and others: move its folder away, or give training images of its class."
                )
        return Listing(self.files, np.array([numbers[name] for name in names], np.int64) if numbers else None)


def stem_of(path: str) -> str:
    """The name of a file without folder and suffix."""
    return PurePosixPath(path).stem


def divide(files: Sequence[File], parts: Sequence[float]) -> list[list[File]]:
    """Divide by a hash of the paths, the same everywhere, given the fraction of each part but the first.

    So few files that a part would be empty make up every part.
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
