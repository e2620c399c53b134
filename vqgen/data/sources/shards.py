"""Images packed in tar files, as webdataset writes them."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from tqdm import tqdm

from vqgen.batch import SPLITS
from vqgen.data.files.decode import SUFFIXES, shown
from vqgen.data.files.divided import DividedFiles
from vqgen.data.files.layout import split_in
from vqgen.data.files.member import Member, members, tar_of
from vqgen.data.files.tree import File, Listing, Tree
from vqgen.errors import DataError, listed
from vqgen.runs.atomic import make_once, reading

LABEL = "cls"
_LONGEST_LABEL = 200  # bytes
_COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_FORMAT = 1  # of the index


class Shards(DividedFiles):
    """Tar files of images, NAME.jpg, each with its class in NAME.cls, a number or a word, or all without.

    An index of all files in them is made once, in `cache`; images are then read by their places, in the same order as
    from a folder. Splits are told by the names of the tar files, or of their folders (`train-000.tar`, `val-000.tar`);
    where none says so, the images are divided by a hash of their paths. Arguments as for DividedFiles.
    """

    expected = (
        "  root/**/*.tar                          of NAME.jpg, NAME.cls and so on, as webdataset writes them, or\n"
        "  root/train-000.tar, root/val-000.tar   with splits (train, val, test)"
    )
    download = "Tar files must not be compressed; images in them may be of any kind that data=folder takes."

    def __init__(self, **files: Any) -> None:
        super().__init__(**files)
        self._labels: dict[str, str] = {}  # of images by their paths

    @cached_property
    def tree(self) -> Tree:
        """All images in the tar files."""
        tars, packed = _tar_files(self.root)
        if not tars:
            raise self.missing(f"{packed[0]} is compressed" if packed else "there is no tar file")
        statuses = {name: (self.root / name).stat() for name in tars}
        known = hashlib.sha256(os.fsencode(f"{_FORMAT}\0{self.origin}\0"))
        for name, status in statuses.items():
            known.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\0"))
        folder = self.cache / f"index-{known.hexdigest()[:16]}"
        with reading(make_once(folder, lambda part: self._make_index(part, statuses), self.cache)):
            index = json.loads((folder / "index.json").read_text())
        files = []
        for name, found in index["images"].items():
            status = statuses[name]
            for member, label in found:
                path = Member(*member).path(name)
                files.append(File(path, member[2], status.st_mtime_ns, status.st_ctime_ns))
                if label is not None:
                    self._labels[path] = label
        self.left_out = {**index["left_out"], "compressed tar files": len(packed)}
        if not files:
            most = max(index["left_out"].items(), key=lambda one: one[1], default=None)
            raise self.missing("no tar file has an image" + (f" ({most[1]:,} {most[0]})" if most else ""))
        return Tree(sorted(files), [], [], {})

    def _make_index(self, folder: Path, names: Iterable[str]) -> None:
        """Write where the images of each tar file are, and their labels."""
        left_out, images = Counter[str](), {}
        for name in tqdm(list(names), "Index of tar files", unit="file"):
            images[name] = self._images_of(self.root / name, left_out)
        (folder / "index.json").write_text(json.dumps({"images": images, "left_out": +left_out}))

    def _images_of(self, tar: Path, left_out: Counter[str]) -> list[tuple[Member, str | None]]:
        found: dict[str, Member] = {}
        labels: dict[str, str] = {}
        with open(tar, "rb") as file:
            for member in members(tar, left_out):
                folder, _, name = member.name.rpartition("/")
                key, _, kind = name.partition(".")
                key, kind = f"{folder}/{key}", kind.lower()
                if any(part.startswith(".") or part == "__MACOSX" for part in member.name.split("/")):
                    left_out["hidden files in tar files"] += 1
                elif kind == LABEL and member.size <= _LONGEST_LABEL:
                    file.seek(member.offset)
                    labels[key] = file.read(member.size).decode("utf-8", "replace").strip()
                elif f".{kind}" in SUFFIXES:
                    left_out["second images of a name in tar files"] += key in found
                    found.setdefault(key, member)
                else:
                    inner, dot, last = kind.rpartition(".")
                    left_out[f"{'names of several dots, ' * bool(dot and inner)}.{last} in tar files"] += 1
        left_out[f".{LABEL} in tar files (without an image)"] += len(labels.keys() - found.keys())
        return [(member, labels.get(key)) for key, member in found.items()]

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """Splits by the names of tar files, or by hash."""
        parts: dict[str | None, list[File]] = {}
        for file in tree.files:
            parts.setdefault(_split_of(file.path), []).append(file)
        if unnamed := parts.pop(None, None):
            if parts:
                named, tar = " and ".join(sorted(map(str, parts))), shown(tar_of(unnamed[0].path))
                raise DataError(
                    f"In {self.root} some tar files are named for {named}, and {tar} for no split: name it train, for "
                    "instance, or move it away."
                )
            parts["train"] = unnamed
        if "train" not in parts:
            raise self.missing(f"the tar files are all of {' and '.join(sorted(map(str, parts)))}, none of train")
        self.class_names = self._classes(parts["train"])
        if len(parts) == 1:
            return {split: self._labelled(files, split) for split, files in self.divided(parts["train"]).items()}
        given = {split: self._labelled(parts[split], split) for split in SPLITS if split in parts}
        return self.completed(given, of="names of the tar files")

    def _classes(self, files: Sequence[File]) -> list[str]:
        """The classes of the training images: numbers in their order, words sorted."""
        without = [file for file in files if file.path not in self._labels]
        if without and len(without) < len(files):
            name = shown(without[0].path)
            self.notes.append(f"no classes, as {name} has none")
            rank_zero_warn(f"No classes: {name} has no .{LABEL} beside it, nor have {len(without) - 1:,} others.")
        names = {self._labels[file.path] for file in files} if not without else set()
        if len(names) < 2:
            return []
        if all(re.fullmatch(r"\d+", name) for name in names):
            return sorted(names, key=lambda name: (int(name), name))
        return sorted(names)

    def _labelled(self, files: Sequence[File], split: str) -> Listing:
        if not self.class_names:
            return Listing([*files])
        numbers = {name: number for number, name in enumerate(self.class_names)}
        known = [file for file in files if self._labels.get(file.path) in numbers]
        if files and not known:
            first, these = self._labels.get(files[0].path, "none"), listed(self.class_names)
            raise DataError(
                f"In {self.root} no image of {split} has a class that training has ({first} is not among {these}): "
                f"put its .{LABEL} files right."
            )
        self.left_out[f"of {split} (no class, or none that training has)"] = len(files) - len(known)
        return Listing(known, np.array([numbers[self._labels[file.path]] for file in known], np.int64))


def _split_of(path: str) -> str | None:
    """The split that the name of an image's tar file tells, or that of a folder around it, the inner one first."""
    names = reversed(tar_of(path).lower().removesuffix(".tar").split("/"))
    return next((split for name in names if (split := split_in(name))), None)


def _tar_files(root: Path) -> tuple[list[str], list[str]]:
    """Paths below the root, sorted, of tar files, and of compressed ones; links are followed, hidden names are not."""
    tars, packed, seen = [], [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                below = path.relative_to(root).as_posix()
                tars += [below] * name.lower().endswith(".tar")
                packed += [below] * name.lower().endswith(_COMPRESSED)
    return sorted(tars), sorted(packed)
