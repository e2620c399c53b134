"""CelebA (Liu, Luo, Wang, Tang 2015, arXiv:1411.7766): 202,599 portraits with 40 attributes."""

import functools
import re
from pathlib import Path

import numpy as np

from vqgen.data.files.files import Files
from vqgen.data.files.tree import Listing, Tree
from vqgen.data.images import Attributes
from vqgen.data.sources.celeba_table import CelebATable, read_table, stem_of

_FOLDER = re.compile(r"(^|/)img_align_celeba(_png)?/")   # below any others, as from Kaggle or the authors' drive
_SPLITS = {"train": 0, "val": 1, "test": 2}


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
        files = {stem_of(file.path): file for file in reversed(faces)}   # JPEG before PNG, where both are there
        self.left_out["in other folders"] = len(tree.files) - len(faces)
        self.left_out["a second time"] = len(faces) - len(files)
        splits = read_table(self._path("list_eval_partition"), ["partition"], list(_SPLITS.values()))
        if absent := [name for name in splits.values if stem_of(name) not in files]:
            raise self.missing(f"there are {len(absent)} of {len(splits.values)} images missing, such as {absent[0]}")
        splits.check_holds(file.path for file in files.values())
        self._attributes.check_holds(file.path for file in files.values())
        self.attribute_names = self._attributes.names
        listings = {
            split: Listing([files[stem_of(name)] for name, value in sorted(splits.values.items()) if value == [number]])
            for split, number in _SPLITS.items()
        }
        if empty := [split for split, listing in listings.items() if not listing.files]:
            raise self.missing(f"there is no image of {' and '.join(empty)}")
        return listings

    def attributes(self, split: str) -> Attributes:
        """The 40 attributes of each image, 1 where it has them and 0 where not."""
        table, files = self._attributes, self.listings[split].files
        by_stem = table.by_stem()
        rows = [by_stem[stem_of(files[i].path)] for i in self.kept(split)]
        return Attributes(table.names, (np.array(rows) == 1).astype(np.float32))

    @functools.cached_property
    def _attributes(self) -> CelebATable:
        return read_table(self._path("list_attr_celeba"), [], [-1, 0, 1])

    def _path(self, name: str) -> Path:
        places = [f"{above}{folder}{name}{end}" for above in ("", "*/", "*/*/") for folder in ("", "Anno/", "Eval/")
                  for end in (".txt", ".csv")]  # fmt: skip
        for path in (path for place in places for path in sorted(self.root.glob(place))):
            if path.is_file():
                return path
        raise self.missing(f"there is no {name}.txt")

