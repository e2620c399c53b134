"""CelebA (Liu, Luo, Wang, Tang 2015, arXiv:1411.7766): 202,599 portraits with 40 attributes."""

import functools
from pathlib import Path

import numpy as np

from vqgen.data.celeba_table import CelebATable, read_table
from vqgen.data.files import Files
from vqgen.data.images import Attributes
from vqgen.data.tree import File, Listing, Tree

_IMAGES = "img_align_celeba/"
_SPLITS = {"train": 0, "val": 1, "test": 2}


class CelebA(Files):
    """Aligned faces in the published splits, with 40 attributes of 0 or 1. No labels."""

    layout = (
        "  root/img_align_celeba/000001.jpg ... 202599.jpg   178 x 218, or in one more folder as from Kaggle\n"
        "  root/list_attr_celeba.txt                         or in root/Anno/; Kaggle's .csv will do\n"
        "  root/list_eval_partition.txt                      or in root/Eval/; Kaggle's .csv will do"
    )
    download = (
        "Download img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and unpack the archive."
    )

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The published splits."""
        files = {_name(file): file for file in tree.files if file.path.startswith(_IMAGES)}
        splits = read_table(self._path("list_eval_partition"), ["partition"], list(_SPLITS.values()))
        if absent := [name for name in splits.values if name not in files]:
            raise self.missing(f"there are {len(absent)} of {len(splits.values)} images missing, such as {absent[0]}")
        splits.check_holds(files)
        self._attributes.check_holds(files)
        self.attribute_names = self._attributes.names
        listings = {
            split: Listing([files[name] for name, value in sorted(splits.values.items()) if value == [number]])
            for split, number in _SPLITS.items()
        }
        if empty := [split for split, listing in listings.items() if not listing.files]:
            raise self.missing(f"there is no image of {' and '.join(empty)}")
        return listings

    def attributes(self, split: str) -> Attributes:
        """The 40 attributes of each image, 1 where it has them and 0 where not."""
        table, files = self._attributes, self.listings[split].files
        rows = [table.values[_name(files[i])] for i in self.kept(split)]
        return Attributes(table.names, (np.array(rows) == 1).astype(np.float32))

    @functools.cached_property
    def _attributes(self) -> CelebATable:
        return read_table(self._path("list_attr_celeba"), [], [-1, 0, 1])

    def _path(self, name: str) -> Path:
        names = [f"{folder}{name}{end}" for folder in ("", "Anno/", "Eval/") for end in (".txt", ".csv")]
        for path in map(self.root.joinpath, names):
            if path.is_file():
                return path
        raise self.missing(f"there is no {name}.txt")


def _name(file: File) -> str:
    """What the lists call an image, in whichever folder it lies."""
    return file.path.rpartition("/")[2]
