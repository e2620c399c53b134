"""CelebA (Liu, Luo, Wang, Tang 2015, arXiv:1411.7766): 202,599 portraits with 40 attributes."""

import functools
from typing import NamedTuple

import numpy as np

from vqgen.data.files import Files
from vqgen.data.images import Attributes
from vqgen.data.tree import Listing, Tree

_IMAGES = "img_align_celeba/"
_SPLITS = {"train": "0", "val": "1", "test": "2"}


class CelebA(Files):
    """Aligned faces in the published splits, with 40 attributes of 0 or 1. No labels."""

    layout = (
        "  root/img_align_celeba/000001.jpg ... 202599.jpg   178 x 218\n"
        "  root/list_attr_celeba.txt                         or in root/Anno/; Kaggle's .csv will do\n"
        "  root/list_eval_partition.txt                      or in root/Eval/; Kaggle's .csv will do"
    )
    download = (
        "Download img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and unpack the archive."
    )

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The published splits."""
        files = {file.path.removeprefix(_IMAGES): file for file in tree.files if file.path.startswith(_IMAGES)}
        split_of = {words[0]: words[1] for words in self._table("list_eval_partition") if words[0].endswith(".jpg")}
        if absent := [name for name in split_of if name not in files]:
            raise self.missing(f"there are {len(absent)} of {len(split_of)} images missing, such as {absent[0]}")
        self.attribute_names = self._attribute_table.names
        return {
            split: Listing([files[name] for name, value in sorted(split_of.items()) if value == number])
            for split, number in _SPLITS.items()
        }

    def attributes(self, split: str) -> Attributes:
        """The 40 attributes of each image, 1 where it has them and 0 where not."""
        table, files = self._attribute_table, self.listings[split].files
        rows = [table.values[files[i].path.removeprefix(_IMAGES)] for i in self.kept(split)]
        return Attributes(table.names, np.array(rows, np.float32))

    @functools.cached_property
    def _attribute_table(self) -> "_AttributeTable":
        table = self._table("list_attr_celeba")
        header = next(words for words in table if "Smiling" in words)
        values = {name: [float(word == "1") for word in words] for name, *words in table if name.endswith(".jpg")}
        return _AttributeTable([word for word in header if word != "image_id"], values)

    def _table(self, name: str) -> list[list[str]]:
        """The words of each line of a text or CSV file."""
        names = [f"{folder}{name}{end}" for folder in ("", "Anno/", "Eval/") for end in (".txt", ".csv")]
        for path in map(self.root.joinpath, names):
            if path.is_file():
                return [line.split() for line in path.read_text().replace(",", " ").splitlines() if line.strip()]
        raise self.missing(f"there is no {name}.txt")


class _AttributeTable(NamedTuple):
    names: list[str]
    values: dict[str, list[float]]   # of each file
