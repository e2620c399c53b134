"""The codes a tokenizer gives to the images of a source, kept on disk as plain arrays.

A store is a folder for each split: level0.npy (the top level) and so on, each n h w in the smallest unsigned type that
holds the codebook's size; labels.npy where the images have labels, and given_NAME.npy of whatever else is given of
them; meta.json, which says whose codes they are. Where the tokenizer's images are flipped in training, the second half
of its rows are the codes of the mirrored images.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from vqgen.batch import SPLITS
from vqgen.data.codes.coded_parts import CodedParts, Encode, smallest_type
from vqgen.data.files.array_file import read_array
from vqgen.data.files.leftover import warn_of_leftovers
from vqgen.data.images import Images
from vqgen.errors import DataError
from vqgen.runs.atomic import make_once, reading

_FORMAT = 3


class CodeSplit(NamedTuple):
    """Code maps n h w of each level (top first) as memory maps, and what is given of the rows, by name."""

    codes: list[ndarray]
    given: dict[str, Shaped[ndarray, "n ..."]]
    num_images: int  # row i is image i % num_images, mirrored if i >= num_images


@dataclass(frozen=True)
class CodeStore:
    """Where the codes of one tokenizer and one source of images are, and how they get there."""

    images: Images  # the source; its `key` and the fingerprint name the folder
    fingerprint: str  # of all that decides the codes
    num_embeddings: Sequence[int]  # codebook size of each level, top first
    cache: Path  # folder of all code stores

    def folder(self, split: str) -> Path:
        """The folder of a split."""
        name = f"{split}-flipped" if self._repeats(split) > 1 else split
        return self.cache / f"{self.images.key}-{self.fingerprint[:12]}" / name

    def extract(self, split: str, encode: Encode) -> Path:
        """Write the codes of a split, unless they are there, together with other processes that ask for them.

        `encode` runs in evaluation mode on the device of the module whose method it is (a plain function: the CPU).
        """
        folder = self.folder(split)
        if not folder.exists():
            parts = folder.with_name(f".{folder.name}.parts{_FORMAT}")
            coded = CodedParts(parts, self.images, split, self._repeats(split), encode, self.num_embeddings)
            coded.make(folder, self.cache)
            make_once(folder, partial(self._join, split, coded), self.cache)
            coded.remove()
        return folder

    def _join(self, split: str, coded: CodedParts, folder: Path) -> None:
        """Write the folder of a split from its parts, and what is given of the images."""
        rows, data = coded.join(folder), self.images.split(split)
        for name, values in data.given.items():
            np.save(folder / _file_of(name), np.concatenate([values] * self._repeats(split)))
        others = {name: (values.shape[1:], str(values.dtype)) for name, values in data.others.items()}
        sizes = {"images": len(data.images), "rows": rows, "labels": data.labels is not None, "others": others}
        (folder / "meta.json").write_text(json.dumps(self._meta(split) | sizes, indent=1))
        if split == SPLITS[0]:
            store, ours = self.folder(split).parent, self._meta(split)
            warn_of_leftovers(store, "level0.npy", ours, ("fingerprint", "origin"), "source")

    def read(self, split: str) -> CodeSplit:
        """The codes of a split, without a look at the images.

        Raises DataError where they are not of this tokenizer and these images, or not whole.
        """
        folder = self.folder(split)
        with reading(folder):
            found = json.loads((folder / "meta.json").read_text())
            for key, value in self._meta(split).items():
                if found.get(key) != value:
                    raise DataError(
                        f"{folder} holds codes of another {key}: {found.get(key)}, not {value}; delete it, and it is "
                        "made again."
                    )
            codes = [
                read_array(folder / f"level{i}.npy", (found["rows"], None, None), smallest_type(k))
                for i, k in enumerate(self.num_embeddings)
            ]
            rows, given = (found["rows"],), {}
            if found["labels"]:
                given["label"] = np.array(read_array(folder / _file_of("label"), rows, np.int64))
            for name, (shape, kind) in found.get("others", {}).items():
                given[name] = np.array(read_array(folder / _file_of(name), (*rows, *shape), kind))
            return CodeSplit(codes, given, int(found["images"]))

    def _meta(self, split: str) -> dict[str, object]:
        """Whose codes a split's are."""
        return {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "source": self.images.key,
            "origin": self.images.origin,
            "content": self.images.content(split),
            "split": split,
            "num_embeddings": list(self.num_embeddings),
        }

    def _repeats(self, split: str) -> int:
        return 2 if self.images.flip and split == "train" else 1


def _file_of(name: str) -> str:
    """Name of the file of what is given by a name."""
    return "labels.npy" if name == "label" else f"given_{name}.npy"
