"""Sets of images of the Hugging Face hub, or in a folder in its format."""

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.batch import SPLITS
from vqgen.data.error import folder_of, require_fractions
from vqgen.data.files import table
from vqgen.data.files.array_file import read_array
from vqgen.data.files.decode import PREPROCESSING, decode
from vqgen.data.files.depth import Depth, depth_of
from vqgen.data.files.leftover import warn_of_leftovers
from vqgen.data.files.prepare import ArrayRows
from vqgen.data.files.resized import FORMAT, Resized
from vqgen.data.images import Split
from vqgen.data.loading.counter import permutation
from vqgen.data.reading import Reading
from vqgen.environment.extras import require_extra
from vqgen.errors import DataError, listed
from vqgen.runs.atomic import make_once, reading


class _Part(NamedTuple):
    """The images of one of our splits: those at `rows` of the split `name` of the set, and their labels."""

    name: str
    rows: Int64[ndarray, " n"]
    labels: Int64[ndarray, " n"]
    said: str  # which they are

    def only(self, index: Int64[ndarray, " _"], said: str) -> "_Part":
        """Some of these images, in their order."""
        index = np.sort(index)
        return _Part(self.name, self.rows[index], self.labels[index], said)


class HuggingFace(Resized):
    """A set that the library `datasets` reads, streamed once into an array in `cache`; neither is needed after that.

    A split that is not given is divided off the training images, the same for every seed, at least one image. Where
    there are classes, images without one, or with one that no training image has, are left out.

    Args:
        root: the set's folder, or its name on the hub.
        val_fraction, test_fraction: of the training images, for splits that are not given.
        config: the part of a set that has several.
        revision: branch, tag or commit on the hub; what is prepared stays when a branch moves on.
        image: the column of images; "auto" takes the only one.
        label: the column of classes; "auto" takes the only one, None none.
        train, val, test: which split of the set is ours; None finds it by its name.
        Others as in Resized.
    """

    def __init__(
        self,
        root: str,
        val_fraction: float,
        test_fraction: float,
        config: str | None = None,
        revision: str | None = None,
        image: str = "auto",
        label: str | None = "auto",
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        **resized: Any,
    ) -> None:
        super().__init__(**resized)
        require_fractions(val_fraction, test_fraction)
        folder = folder_of("root", root)
        self.root = folder if folder.is_dir() else None
        self.set_name, self.config, self.revision, self.image, self.label = root, config, revision, image, label
        self.asked = {"train": train, "val": val, "test": test}
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self._reported = False  # Lightning prepares the data once more

    @property
    def origin(self) -> str:
        """The folder, or the name on the hub."""
        return f"hf://datasets/{self.set_name}" if self.root is None else os.path.realpath(self.root)

    @property
    def place(self) -> str:
        """The folder or name, and the part of it."""
        return self.set_name if self.config is None else f"{self.set_name} ({self.config})"

    def source(self) -> dict[str, object]:
        """Which set, a hash of its files' names, sizes and times if it is in a folder, and how they become images."""
        asked = {"config": self.config, "revision": self.revision, "image": self.image, "label": self.label}
        files = {"root": self.origin, "files": self._digest, "splits": self.asked, "fractions": self.fractions}
        return {**files, **asked, "preprocessing": PREPROCESSING, "window": self.window, "white": self.white}

    @cached_property
    def _digest(self) -> str:
        sha, root = hashlib.sha256(), self.root
        for path in sorted(root.rglob("*")) if root else ():
            if path.is_file():
                status, name = path.stat(), os.path.relpath(path, root)
                sha.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0"))
        return sha.hexdigest()[:16]

    def prepare_data(self) -> None:
        """Read the set once, unless that is done, and warn of unreadable images."""
        found = self._prepared
        if self._reported:
            return
        self._reported = True
        if found["unreadable"]:
            self.tell_unreadable(found["unreadable"], found["images"], self._folder)
        self.tell_untrained(self.load("train").labels)
        for warning in self._depth.warnings():
            rank_zero_warn(warning)

    def load(self, split: str) -> Split:
        """Those images of a memory map that are of the split."""
        rows, labels = self._array(f"{split}-rows"), self._array(f"{split}-labels")
        with reading(self._folder):
            path = self._folder / self._prepared["parts"][split] / "images.npy"
            images = read_array(path, (None, *self.held_shape), np.uint8)
        return Split(
            images if len(rows) == len(images) else ArrayRows(images, rows), labels if self.class_names else None
        )

    def count(self, split: str) -> int:
        """The number of images of a split."""
        return len(self._array(f"{split}-rows"))

    def content(self, split: str) -> str:
        """A hash of the image files."""
        return str(self._prepared["content"][self._prepared["parts"][split]])

    def reading(self, splits: Sequence[str] = SPLITS) -> Reading:
        """What was read, with the unreadable images of all splits."""
        found, said = self._prepared, super().reading(splits)
        left_out = {"unreadable": len(found["unreadable"]), **found["left_out"]}
        return said._replace(how=found["how"], left_out=left_out, notes=[*self.notes, *self._depth.notes()])

    def names(self, split: str, index: Sequence[int]) -> list[str]:
        """The split and row of these images in the set."""
        name, rows = self._prepared["parts"][split], self._array(f"{split}-rows")
        return [f"{name}[{rows[i]}]" for i in index]

    def unreadable(self) -> list[str]:
        """A line for each image that was left out, with the reason."""
        return list(self._prepared["unreadable"])

    def decoded(self, path: str | Path, shape: tuple[int, int, int]) -> UInt8[ndarray, "c h w"]:
        """A file's pixels at a shape, by the window and the white that all images have."""
        return decode(path, shape, self.window, self._depth.white if self.white == "auto" else int(self.white))

    @cached_property
    def _folder(self) -> Path:
        return make_once(self.cache / self.key / "streamed", self._prepare, self.cache)

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        """What is known of the set beside its images; sets `class_names`."""
        with reading(self._folder):
            found = json.loads((self._folder / "meta.json").read_text())
            self.class_names = [str(name) for name in found["class_names"]]
            return dict(found)

    @property
    def _depth(self) -> Depth:
        return Depth(**self._prepared["depth"])

    def _array(self, name: str) -> Int64[ndarray, " n"]:
        with reading(self._folder):
            return np.array(read_array(self._folder / f"{name}.npy", (None,), np.int64))

    def _prepare(self, folder: Path) -> None:
        """Stream the splits into a folder, and divide their images."""
        require_extra("datasets", "data=huggingface")
        splits = table.open_splits(self.set_name, self.root, self.config, self.revision)
        given = table.find_splits(list(splits), self.asked)
        features = table.features_of(splits[given["train"]])
        columns = table.image_column(features, self.image), table.label_column(features, self.label)

        def read(white: int) -> dict[str, table.Streamed]:
            how = columns, self.held_shape, self.window, white
            return {
                name: table.stream(splits[name], name, folder / name, *how) for name in dict.fromkeys(given.values())
            }

        white = self.white if isinstance(self.white, int) else Depth().white
        found, depth = read(white), Depth()
        if self.white == "auto":
            depth = depth_of(one for part in found.values() for one in part.deep)
            found = found if depth.white == white else read(depth.white)  # it is known only now
        left_out = {f"splits ({listed(sorted(splits.keys() - found))})": len(splits) - len(found)}
        parts = self._parts(given, found, left_out)
        for split, part in parts.items():
            np.save(folder / f"{split}-rows.npy", part.rows)
            np.save(folder / f"{split}-labels.npy", part.labels)
        how = ", ".join(f"{split} is {part.said}" for split, part in parts.items() if part.said != split)
        meta = {"origin": self.origin, "files": self._digest, "format": FORMAT}
        others = {
            "class_names": found[given["train"]].classes,
            "parts": {split: part.name for split, part in parts.items()},
            "how": how or "as in the set",
            "images": sum(len(part.labels) for part in found.values()),
            "content": {name: part.content for name, part in found.items()},
            "unreadable": [f"{name}[{row}]: {why}" for name, part in found.items() for row, why in part.unreadable],
            "left_out": left_out,
            "depth": depth._asdict(),
        }
        (folder / "meta.json").write_text(json.dumps(meta | others, indent=1))
        warn_of_leftovers(self.cache / self.key, "meta.json", meta, ("origin",), "files")

    def _parts(
        self, given: dict[str, str], found: dict[str, table.Streamed], left_out: dict[str, int]
    ) -> dict[str, _Part]:
        """The images of our splits: as given, or divided off those of training; of too few each has all."""
        classes = found[given["train"]].classes
        numbers: dict[str | None, int] = {label: number for number, label in enumerate(classes)}
        parts = {}
        for split, name in given.items():
            labels = np.array([numbers.get(label, -1) for label in found[name].labels], np.int64)
            readable = np.delete(np.arange(len(labels)), [row for row, _ in found[name].unreadable])
            rows = readable[labels[readable] >= 0] if classes else readable
            left_out[f"of {name} (no class, or none that training has)"] = len(readable) - len(rows)
            if len(rows):
                parts[split] = _Part(name, rows, labels[rows], name)
        if "train" not in parts:
            reasons = "".join(f" ({row}: {why})" for row, why in found[given["train"]].unreadable[:1])
            raise DataError(f"data.root={self.set_name}: {given['train']} has no image to train on{reasons}.")
        whole, absent = parts["train"], [split for split in SPLITS if split not in parts]
        order = permutation(len(whole.rows), "hold_out")
        for split in absent if len(order) > len(absent) else ():
            count = max(1, round(self.fractions[split] * len(whole.rows)))
            parts[split], order = whole.only(order[:count], f"a part of {whole.name}"), order[count:]
        parts["train"] = whole.only(order, whole.said)
        return {split: parts.get(split, whole) for split in SPLITS}
