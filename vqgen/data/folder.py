"""Any folder of images."""

import os
from collections.abc import Sequence
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.data.decode import shown
from vqgen.data.error import require
from vqgen.data.files import Files
from vqgen.data.tree import File, Listing, Tree, class_folders, divide, labels_of

_SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Folder(Files):
    """Any tree of images, flat or in class folders, below folders for the splits or not.

    Where every training image lies in one of at least two folders, these are the classes, sorted by name. Splits
    that are not given are divided off by a hash of the paths, at least one image each; where one of val and test is
    given, it stands for the other. One or two images are all three splits.

    Args:
        val_fraction, test_fraction: of the images, for splits that are not given.
        Others as in Files.
    """

    layout = (
        "  root/**/*.jpg                           flat, or\n"
        "  root/CLASS/**/*.jpg                     with classes, or\n"
        "  root/train/**/*.jpg, root/val/**/*.jpg  with splits (train, val, test), with classes in them or not"
    )
    download = "Any JPEG, PNG, WebP, BMP, GIF, TIFF, PPM or PGM files will do."

    def __init__(self, val_fraction: float, test_fraction: float, **files: Any) -> None:
        super().__init__(**files)
        for option, value in {"val_fraction": val_fraction, "test_fraction": test_fraction}.items():
            require(value >= 0, option, value, "expected a fraction, 0 or more")
        both = f"{val_fraction}, data.test_fraction={test_fraction}"
        require(val_fraction + test_fraction < 1, "val_fraction", both, "together they are less than 1")
        self.fractions = (val_fraction, test_fraction)

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """Splits by folder where all folders are named for splits, otherwise by hash."""
        given = _given_splits(tree.files)
        depth = 1 if given else 0
        training = given.get("train", tree.files)
        self.class_names = class_folders(training, depth)
        stray = [file for file in training if file.path.count("/") == depth]
        if stray and class_folders([file for file in training if file.path.count("/") > depth], depth):
            rank_zero_warn(f"No classes: {shown(os.fsencode(stray[0].path))} lies in no class folder of {self.root}.")
        splits = _completed(given) if len(given) > 1 else self._divided(training)
        return {name: Listing(files, labels_of(files, self.class_names, depth)) for name, files in splits.items()}

    def _divided(self, files: Sequence[File]) -> dict[str, list[File]]:
        return dict(zip(("train", "val", "test"), divide(files, self.fractions), strict=True))


def _given_splits(files: Sequence[File]) -> dict[str, list[File]]:
    """The files of each split, if train is given and all folders are splits (a class may be called train, too)."""
    splits: dict[str, list[File]] = {}
    for file in files:
        name, slash, _ = file.path.partition("/")
        folder = name.lower()
        if slash and folder not in _SPLIT_FOLDERS:
            return {}
        if slash:
            splits.setdefault(_SPLIT_FOLDERS[folder], []).append(file)
    return splits if "train" in splits else {}


def _completed(splits: dict[str, list[File]]) -> dict[str, list[File]]:
    held_out = splits.get("val") or splits["test"]
    return {"train": splits["train"], "val": held_out, "test": splits.get("test") or held_out}
