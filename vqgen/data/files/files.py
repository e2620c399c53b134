"""The base of sources that are image files in folders."""

import json
import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.batch import SPLITS
from vqgen.data.error import OPTION, folder_of, require
from vqgen.data.files.decode import PREPROCESSING, shown
from vqgen.data.files.depth import Depth, measure
from vqgen.data.files.leftover import warn_of_leftovers
from vqgen.data.files.prepare import UNREADABLE, ArrayRows, FileDecoder, ImageFiles, PreparedSplit, prepare
from vqgen.data.files.resized import FORMAT, Resized
from vqgen.data.files.tree import File, Listing, Tree, scan
from vqgen.data.images import Pixels, Split
from vqgen.data.reading import Reading
from vqgen.errors import DataError
from vqgen.runs.atomic import make_once


class Files(Resized):
    """Images in files, read once to leave out the bad ones. A subclass divides them in `list_files`.

    Args:
        root: the folder of the files.
        prepare_up_to: a set that takes no more than this many GB as pixels is kept as an array in `cache`, and read
            from there; a larger one is decoded again and again by `num_workers` processes.
        Others as in Resized.
    """

    root: Path
    expected: str  # of the folder, as a small tree
    download: str  # how to get it

    def __init__(self, root: str, prepare_up_to: float, **resized: Any) -> None:
        super().__init__(**resized)
        require(prepare_up_to >= 0, "prepare_up_to", prepare_up_to, "expected 0 GB or more")
        self.root, self.prepare_up_to = folder_of("root", root), prepare_up_to
        self.base = ""  # the folder below the root that holds all images
        self._prepared: dict[str, PreparedSplit] = {}
        self._reported = False  # Lightning prepares the data once more

    @abstractmethod
    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The files of each split and their labels. Raises DataError where the tree has another layout.

        Sets `class_names`, and `how` they were divided, `left_out` and `base` for the line that says what was read.
        """

    @cached_property
    def tree(self) -> Tree:
        """All image files below the root."""
        tree = scan(self.root)
        self.left_out = dict(tree.left_out)
        if not tree.files:
            reasons = [f"{path}: {reason}" for path, reason in tree.unreadable]
            reasons += [f"{count} {reason}" for reason, count in tree.left_out.items()]
            raise self.missing("there is no image" + "".join(f" that can be read ({reason})" for reason in reasons[:1]))
        return tree

    @cached_property
    def listings(self) -> dict[str, Listing]:
        """The files of each split."""
        return self.list_files(self.tree)

    @property
    def place(self) -> str:
        """The folder that holds all images."""
        return str(self.root / self.base)

    def count(self, split: str) -> int:
        """The number of readable images of a split."""
        return len(self.prepared(split).kept)

    def reading(self, splits: Sequence[str] = SPLITS) -> Reading:
        """What was read, with the unreadable files of these splits."""
        said = super().reading(splits)
        unreadable = len({self.listings[s].files[row] for s in splits for row, *_ in self.prepared(s).unreadable})
        left_out = {"unreadable": unreadable + len(self.tree.unreadable), **self.left_out}
        return said._replace(left_out=left_out, notes=[*self.notes, *self.depth(splits[0]).notes()])

    def source(self) -> dict[str, object]:
        """Where the files are, hashes of their names, sizes and times, and how they become images."""
        facts: dict[str, object] = {"root": self.origin, "files": self._digests}
        facts |= {"preprocessing": PREPROCESSING, "window": self.window}
        return facts if self.white == 2**16 - 1 else facts | {"white": self.white}

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: self.listings[name].digest(times=True) for name in SPLITS}

    def record(self, split: str) -> dict[str, object]:
        """The number of images, and hashes of the files' names, sizes and labels, and of what is in them."""
        names = self.listings[split].digest(times=False)
        return {"images": self.count(split), "digest": names, "content": self.content(split)}

    def content(self, split: str) -> str:
        """A hash of what is in the files."""
        return self.prepared(split).content

    def prepare_data(self) -> None:
        """Read every file once, unless that is done, and warn of unreadable ones."""
        for name in SPLITS:
            self.prepared(name)
        if not self._reported:
            self._report()
            self.tell_untrained(self.listings["train"].labels)
            for warning in self.depth("train").warnings():
                rank_zero_warn(warning)
            self._reported = True

    def load(self, split: str) -> Split:
        """The readable images of the split: a memory map, or decoded when they are asked for."""
        prepared = self.prepared(split)
        listing, kept = prepared.listing, prepared.kept
        if not len(kept):
            raise self.lost(f"the split {split} in {self.place}", listing.files)
        images: Pixels = ImageFiles(self._decoder(self.depth(split)), np.array(listing.paths)[kept])
        if self._fits:
            array = prepared.images(self.held_shape)
            images = array if len(kept) == len(array) else ArrayRows(array, kept)
        return Split(images, None if listing.labels is None else listing.labels[kept])

    def depth(self, split: str) -> Depth:
        """The bits that grey images of 16 bits use, of the whole set, as it was prepared."""
        return self.prepared(split).depth if self.white == "auto" else Depth()

    def names(self, split: str, index: Sequence[int]) -> list[str]:
        """The paths of these images below the root."""
        files, kept = self.listings[split].files, self.prepared(split).kept
        return [files[kept[i]].path for i in index]

    def unreadable(self) -> list[str]:
        """A line for each file and folder that was left out, with the reason."""
        folders = [f"{path}: {reason}" for path, reason in self.tree.unreadable]
        found = {(path, reason) for name in SPLITS for _, path, reason in self.prepared(name).unreadable}
        return folders + [f"{path}: {reason}" for path, reason in sorted(found)]

    def _refuse_lost_class(self) -> None:
        """Raise DataError where of a class no training image can be read."""
        files, labels = self.listings["train"]
        for label in sorted({*labels} - {*labels[self.prepared("train").kept]}) if labels is not None else ():
            first = files[int(np.argmax(labels == label))]
            raise self.lost(f"the class {self.class_names[label]} in {self.place}", [first])

    def lost(self, what: str, files: Sequence[File]) -> DataError:
        """The error where no image of a class or a split can be read."""
        first = shown(files[0].path)
        return DataError(
            f"Of {what} no image can be read, such as {first}: convert or repair its files, or move the folder away."
        )

    def _report(self) -> None:
        lines, total = self.unreadable(), sum(len(listing.files) for listing in self.listings.values())
        if not lines:
            return
        folders = [f"{path}: {reason}" for path, reason in self.tree.unreadable if path.endswith("/") or path == "."]
        if folders and self.max_unreadable < 1:  # it may hold a whole class
            raise DataError(f"In {self.root} a folder cannot be read: {folders[0]}. Repair it, or move it away.")
        self.tell_unreadable(lines, total, self._folder("train").parent)
        self._refuse_lost_class()

    def missing(self, what: str) -> DataError:
        """The error that names what is missing and shows what is expected."""
        suffix = "" if self.root.is_dir() else " (no such folder)"
        return DataError(
            f"In {os.path.realpath(self.root)}{suffix} {what}. Expected:\n{self.expected}\n{self.download}\n"
            f"Set {OPTION} to where it is, or take data=shapes, which needs no files."
        )

    @cached_property
    def _fits(self) -> bool:
        n = sum(len(listing.files) for listing in self.listings.values())
        return n * int(np.prod(self.held_shape)) <= self.prepare_up_to * 1e9

    def _folder(self, split: str) -> Path:
        return self.cache / self.key / f"{split}-{'array' if self._fits else 'checked'}"

    def prepared(self, split: str) -> PreparedSplit:
        """What there is of a split in the cache, made unless it is there."""
        if split not in self._prepared:
            folder = make_once(self._folder(split), partial(self._prepare, split), self.cache)
            self._prepared[split] = PreparedSplit(folder, self.listings[split])
            self._prepared[split].refuse_stale(self.root)
        return self._prepared[split]

    def decoded(self, path: str | Path, shape: tuple[int, int, int]) -> UInt8[ndarray, "c h w"]:
        """A file's pixels at a shape, by the window and the white that all files have."""
        file = os.fsencode(Path(path).absolute())
        depth = self.depth("train") if measure("", [file]).grey else Depth()
        return replace(self._decoder(depth), shape=shape)(file)

    def _decoder(self, depth: Depth) -> FileDecoder:
        white = self.white if isinstance(self.white, int) else depth.white
        return FileDecoder(str(self.root), self.held_shape, self.window, white)

    @cached_property
    def _measured(self) -> Depth:
        if self.white != "auto":
            return Depth()
        paths = {path for listing in self.listings.values() for path in listing.paths}
        return measure(str(self.root), sorted(paths))

    def _prepare(self, split: str, folder: Path) -> None:
        title, paths = f"{'Preparing' if self._fits else 'Checking'} {split}", self.listings[split].paths
        attempts = self._decoder(self._measured).attempts(paths)
        content = prepare(
            attempts, lambda row: shown(paths[row]), len(paths), self.held_shape, folder, self._fits, title
        )
        files = Listing(self.tree.files).digest(times=True)
        meta = {"origin": self.origin, "files": files, "content": content, "format": FORMAT}
        (folder / "meta.json").write_text(json.dumps(meta, indent=1))
        if self.white == "auto":
            (folder / "depth.json").write_text(json.dumps(self._measured._asdict()))
        if split == SPLITS[0]:
            warn_of_leftovers(self._folder(split).parent, UNREADABLE, meta, ("origin",), "files")
