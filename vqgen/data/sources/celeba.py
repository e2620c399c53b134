"""CelebA (Liu, Luo, Wang, Tang 2015, arXiv:1411.7766): 202,599 portraits with 40 attributes."""

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqgen.data.files.files import Files
from vqgen.data.files.text_table import TextTable
from vqgen.data.files.tree import Listing, Tree, stem_of
from vqgen.data.images import Attributes

_FOLDER = re.compile(r"(^|/)img_align_celeba(_png)?/")  # below any others, as from Kaggle or the authors' drive
_SPLITS = {"train": 0, "val": 1, "test": 2}
_REMEDY = "Put a whole copy of the file there, from the address in conf/data/celeba.yaml."


class CelebA(Files):
    """Aligned faces in the published splits, with 40 attributes of 0 or 1. No labels."""

    expected = (
        "  root/img_align_celeba/000001.jpg ... 202599.jpg   178 x 218, or img_align_celeba_png; in root/Img/ will do\n"
        "  root/list_attr_celeba.txt                         or in root/Anno/; Kaggle's .csv will do\n"
        "  root/list_eval_partition.txt                      or in root/Eval/; Kaggle's .csv will do"
    )
    download = (
        "Download img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and unpack the archive."
    )
    how = "as published"

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The published splits."""
        faces = [file for file in tree.files if _FOLDER.search(file.path)]
        files = {stem_of(file.path): file for file in reversed(faces)}  # JPEG before PNG, where both are there
        self.left_out["in other folders"] = len(tree.files) - len(faces)
        self.left_out["a second time"] = len(faces) - len(files)
        splits = read_list(self._path("list_eval_partition"), ["partition"], list(_SPLITS.values()))
        if absent := sorted(splits.values.keys() - files.keys()):
            raise self.missing(f"there are {len(absent)} of {len(splits.values)} images missing, such as {absent[0]}")
        for found in (splits, self._attributes):
            found.check_holds(file.path for file in files.values())
        self.attribute_names = self._attributes.names
        listings = {
            split: Listing([files[stem] for stem, value in sorted(splits.values.items()) if value == [number]])
            for split, number in _SPLITS.items()
        }
        if empty := [split for split, listing in listings.items() if not listing.files]:
            raise self.missing(f"there is no image of {' and '.join(empty)}")
        return listings

    def attributes(self, split: str) -> Attributes:
        """The 40 attributes of each image, 1 where it has them and 0 where not."""
        rows = [self._attributes.values[stem_of(path)] for path in self.names(split, range(self.count(split)))]
        return Attributes(self._attributes.names, (np.array(rows) == 1).astype(np.float32))

    @functools.cached_property
    def _attributes(self) -> "NumberList":
        return read_list(self._path("list_attr_celeba"), [], [-1, 0, 1])

    def _path(self, name: str) -> Path:
        for above in ("", "*/", "*/*/"):
            for folder in ("", "Anno/", "Eval/"):
                for end in (".txt", ".csv"):
                    for path in sorted(self.root.glob(f"{above}{folder}{name}{end}")):
                        if path.is_file():
                            return path
        raise self.missing(f"there is no {name}.txt")


class NumberList(NamedTuple):
    """The numbers that a list gives to each image: the names of its columns, and the numbers by name without suffix.

    The suffix says nothing: the lists say .jpg of the PNG files, too.
    """

    table: TextTable
    names: list[str]
    values: dict[str, list[int]]

    def check_holds(self, paths: Iterable[str]) -> None:
        """Raises DataError where the list has no line for one of these images."""
        if absent := sorted(Path(path).name for path in paths if stem_of(path) not in self.values):
            raise self.table.error(f"there is no line for {len(absent)} images, such as {absent[0]}")


def read_list(path: Path, names: Sequence[str], allowed: Sequence[int]) -> NumberList:
    """Read list_eval_partition or list_attr_celeba, as published or as CSV, of numbers that are `allowed`.

    `names` are those of the columns; where they are empty, the file has them. Raises DataError, which names the line,
    where the file is no text or not whole.
    """
    table = TextTable(path, _REMEDY)
    rows = list(table.rows())
    first = next((i for i, (_, words) in enumerate(rows) if _is_image(words[0])), len(rows))
    head = [word for _, words in rows[:first] for word in words if word != "image_id"]
    count, told = (head[0], head[1:]) if head and head[0].isdecimal() else (None, head)
    found = NumberList(table, list(names or told), {})
    if not found.names or not rows[first:]:
        raise table.error("it has no line for an image" if found.names else "its first lines name no attribute")
    wanted = {str(number): number for number in allowed}
    for line, (name, *words) in rows[first:]:
        if not _is_image(name):
            raise table.error(f"it begins with {name[:40]!r}, and not with the name of an image", line)
        if stem_of(name) in found.values:
            raise table.error(f"{name} occurs a second time", line)
        if len(words) != len(found.names):
            raise table.error(f"{name} has {len(words)} numbers instead of {len(found.names)}", line)
        if strange := [word for word in words if word not in wanted]:
            expected = " or ".join(sorted(wanted))
            raise table.error(f"{name} has {strange[0][:40]!r} where {expected} is expected", line)
        found.values[stem_of(name)] = [wanted[word] for word in words]
    if count not in (None, str(len(found.values))):
        raise table.error(f"{count} images should follow, and there are {len(found.values)}", rows[0][0])
    return found


def _is_image(name: str) -> bool:
    return name.endswith((".jpg", ".png"))
