"""ImageNet, ILSVRC 2012 (Russakovsky et al. 2015, arXiv:1409.0575): 1.28 million photographs in 1,000 classes."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vqgen.data.files.files import Files
from vqgen.data.files.text_table import LABELS, TextTable, first_of, table_listing
from vqgen.data.files.tree import Listing, Subtree, Tree

_TRAIN = re.compile(r"(.*/)?train/n\d+/")
NAMES = ("LOC_synset_mapping.txt", "words.txt", "imagenet_class_index.json")  # tables of the ids' names
_ABOVE = 3  # folders above the images in which the tables may lie, as Kaggle packs it


class ImageNet(Files):
    """Class folders named by WordNet ids; the published validation images are val and test (those have no labels).

    Labels follow the sorted ids; where a table of their names lies in root, or between it and the images, the classes
    go by those. Of a subset of the classes, the validation images of the others are left out.
    """

    expected = (
        "  root/train/n01440764/n01440764_10026.JPEG     1,281,167 images in 1,000 folders\n"
        "  root/val/n01440764/ILSVRC2012_val_00000293.JPEG   50,000 images, in the same folders; or all in val/,\n"
        f"  with {' or '.join(LABELS)} there, in root, or up to {_ABOVE} folders above the images"
    )
    download = (
        "Download ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org (with an account), "
        "unpack each class into its folder, and move the validation images into class folders."
    )

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The splits by their folders."""
        found = {match[1] or "" for file in tree.files if (match := _TRAIN.match(file.path))}
        if len(found) > 1:
            raise self.missing(f"there are several folders train ({', '.join(sorted(found))}): name one by data.root")
        self.base = found.pop() if found else ""
        train, val = (Subtree(tree.files).below(f"{self.base}{name}/") for name in ("train", "val"))
        ids = train.class_folders()
        if not ids or not val.files:
            raise self.missing("there are no class folders in train" if val.files else "there is no image in val")
        self.class_names = class_names(ids, [*self._folders(), self.root / self.base / "train"])
        held_out = self._held_out(val, ids)
        self.how = "by the folders train and val, test is val"
        self.left_out["of val, in no class of train"] = len(val.files) - len(held_out.files)
        self.left_out["in other folders (test has no labels)"] = len(tree.files) - len(train.files) - len(val.files)
        return {"train": train.labelled(ids), "val": held_out, "test": held_out}

    def _folders(self) -> list[Path]:
        """Where tables may lie: the folder of train and val, and those above it."""
        place = (self.root / self.base).resolve()
        return [place, *list(place.parents)[:_ABOVE]]

    def _held_out(self, val: Subtree, ids: list[str]) -> Listing:
        known = [file for file in val.files if val.folder(file) in ids]
        listing = val._replace(files=known).labelled(ids)
        rest = [file for file in val.files if not val.folder(file)] if known else val.files
        if rest and (known or not val.class_folders()):
            table = first_of(LABELS, [self.root / val.start, *self._folders()])
            if table is None:
                place = f"{rest[0].path} lies in no class folder" if known else "val has no class folders"
                raise self.missing(f"{place}, and nowhere is a table of its labels, {LABELS[0]}")
            flat = table_listing(rest, table, ids)
            listing = Listing(known + flat.files, np.concatenate([listing.labels, flat.labels]))
        if not listing.files:
            raise self.missing("the folders of val are not those of train, or its table knows none of these classes")
        return listing


def class_names(ids: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The name of each class: the first of its words, typed easily: hyphens for spaces, no apostrophe.

    An id, such as n01440764, of which no table knows a name stays as it is; where several have the same name, the id is
    added. The table is the first of `NAMES` in these folders. Raises DataError where it is damaged; names the line.
    """
    path = first_of(NAMES, folders)
    known = dict(_rows(path)) if path else {}
    names = [known.get(wordnet, wordnet) for wordnet in ids]
    count = Counter(names)
    return [f"{name}-{i}" if count[name] > 1 else name for name, i in zip(names, ids, strict=True)]


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Id and name; of the text files a line is `n01440764 tench, Tinca tinca`."""
    table = TextTable(path, "Put a whole copy there, or take it away and the classes keep their ids.")
    lines = table.text().splitlines()
    if path.suffix == ".json":
        try:
            lines = [" ".join(row) for row in json.loads("\n".join(lines)).values()]
        except (ValueError, TypeError, AttributeError) as error:
            raise table.error(f"it cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        found = re.fullmatch(r"(n\d+)\s+([^\s,][^,]*)(,.*)?", line.strip())
        if found is None:
            raise table.error(f"{line[:40]!r} is no id with a name", number)
        yield found[1], re.sub(r"[\s_]+", "-", found[2].strip().replace("'", ""))
