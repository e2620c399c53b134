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
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from vqgen.batch import SPLITS
from vqgen.data.error import OPTION, folder_of, require
from vqgen.data.files.decode import MAX_PIXELS, PREPROCESSING, shown
from vqgen.data.files.depth import Depth, measure
from vqgen.data.files.leftover import warn_of_leftovers
from vqgen.data.files.prepare import UNREADABLE, ArrayRows, FileDecoder, ImageFiles, PreparedSplit, prepare
from vqgen.data.files.tree import File, Listing, Tree, scan
from vqgen.data.images import Images, Pixels, Split
from vqgen.data.reading import Reading
from vqgen.errors import DataError, listed
from vqgen.runs.atomic import make_once

_FORMAT = 3  # of prepared folders


class Files(Images):
    """Images in files, read once to leave out the bad ones. A subclass divides them in `list_files`.

    Args:
        root: the folder of the files.
        size: side in pixels that images are resized to, by their middle.
        shape: [1 or 3, size, size], or any height and width that differ: those count, and not the size.
        cache: folder of what is prepared.
        prepare_up_to: a set that takes no more than this many GB as pixels is kept as an array in `cache`, and read
            from there; a larger one is decoded again and again by `num_workers` processes.
        max_unreadable: the largest fraction of files that may be unreadable, 0 to 1.
        window: use only the middle square with this side, in pixels of the file; None for all.
        white: what is white in grey images of 16 bits; "auto" takes that of the bits which the set uses, 4095 of 12.
        Others as in Images.
    """

    root: Path
    expected: str  # of the folder, as a small tree
    download: str  # how to get it

    def __init__(
        self,
        root: str,
        size: int,
        shape: Sequence[int],
        cache: str,
        prepare_up_to: float,
        max_unreadable: float,
        window: int | None = None,
        white: int | str = 2**16 - 1,
        **images: Any,
    ) -> None:
        super().__init__(shape=shape, **images)
        _, height, width = self.held_shape
        square = height == width
        option, asked = ("size", size) if square else ("shape", list(shape))
        option, asked = ("margin", self.margin) if self.margin > max(shape) else (option, asked)
        require(height * width <= MAX_PIXELS, option, asked, f"images of {height} x {width} pixels are too large")
        wanted = f"files are resized to [{shape[0]}, {size}, {size}] (data.size)"
        require(not square or self.shape[1] == size, "shape", list(shape), wanted)
        require(window is None or window >= 1, "window", window, "expected 1 pixel or more, or null for all")
        require(0 <= max_unreadable <= 1, "max_unreadable", max_unreadable, "expected a fraction, 0 to 1")
        require(prepare_up_to >= 0, "prepare_up_to", prepare_up_to, "expected 0 GB or more")
        self.root, self.cache, self.window = folder_of("root", root), folder_of("cache", cache), window
        whites = white == "auto" or (isinstance(white, int) and 1 <= white < 2**16)
        require(whites, "white", white, "expected auto, or a number from 1 to 65535")
        self.white, self.prepare_up_to, self.max_unreadable = white, prepare_up_to, max_unreadable
        self.base = ""  # the folder below the root that holds all images
        self.left_out: dict[str, int] = {}
        self.notes: list[str] = []
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
            self._tell_untrained()
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

    def setup(self, stage: str | None = None) -> None:
        """Before a training, list what is unreadable in the run's folder."""
        super().setup(stage)
        if stage == "fit" and self.trainer is not None:
            self._write_unreadable(Path(self.trainer.default_root_dir) / "unreadable.txt")

    @rank_zero_only
    def _write_unreadable(self, path: Path) -> None:
        if lines := self.unreadable():
            title = f"Left out of {os.path.realpath(self.root)}:"
            path.write_text("\n".join([title, *lines, ""]), errors="backslashreplace")

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

    def _tell_untrained(self) -> None:
        """Warn of classes that have no training image."""
        labels = self.listings["train"].labels
        without = set() if labels is None else {*range(len(self.class_names))} - {*labels}
        if without:
            self.notes.append(f"no training image of {listed([self.class_names[i] for i in sorted(without)], 3)}")
            rank_zero_warn(f"There is {self.notes[-1]} in {self.place}: a label of it means nothing to a model.")

    def _report(self) -> None:
        lines, total = self.unreadable(), sum(len(listing.files) for listing in self.listings.values())
        if not lines:
            return
        folders = [f"{path}: {reason}" for path, reason in self.tree.unreadable if path.endswith("/") or path == "."]
        if folders and self.max_unreadable < 1:  # it may hold a whole class
            raise DataError(f"In {self.root} a folder cannot be read: {folders[0]}. Repair it, or move it away.")
        message = f"{len(lines)} of {total} image files in {self.root} are unreadable, such as {lines[0]}"
        if len(lines) > self.max_unreadable * total:
            raise DataError(
                f"{message}. That is more than data.max_unreadable={self.max_unreadable} allows; all are listed in "
                f"unreadable.json below {self._folder('train').parent}."
            )
        self._refuse_lost_class()
        rank_zero_warn(f"{message}; they are left out, and listed in unreadable.txt of the run.")

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
        content = prepare(self._decoder(self._measured), paths, folder, self._fits, title)
        files = Listing(self.tree.files).digest(times=True)
        meta = {"origin": self.origin, "files": files, "content": content, "format": _FORMAT}
        (folder / "meta.json").write_text(json.dumps(meta, indent=1))
        if self.white == "auto":
            (folder / "depth.json").write_text(json.dumps(self._measured._asdict()))
        if split == SPLITS[0]:
            warn_of_leftovers(self._folder(split).parent, UNREADABLE, meta, ("origin",), "files")
