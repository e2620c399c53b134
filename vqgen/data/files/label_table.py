"""Lists that give each image of a flat folder its class, as they come with ImageNet."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vqgen.data.files.tree import File, Listing
from vqgen.errors import DataError

TABLES = ("LOC_val_solution.csv", "val_annotations.txt")   # of ImageNet from Kaggle, and of Tiny ImageNet


def find_table(folders: Iterable[Path]) -> Path | None:
    """The first list in one of these folders."""
    return next((path for folder in folders for name in TABLES if (path := folder / name).is_file()), None)


def read_labels(path: Path) -> dict[str, str]:
    """The class of each image, by its name without suffix.

    A line is `ILSVRC2012_val_00000001,n01751748 111 108 370 285` or `val_0.JPEG n03444034 0 32 44 62`.

    Raises:
        DataError: the list is damaged; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Put a whole copy there.") from error
    labels = {}
    for number, line in enumerate(lines, 1):
        words = re.split(r"[,\s]+", line.replace('"', " ").strip())
        if (number == 1 and words[0] == "ImageId") or words == [""]:
            continue
        if len(words) < 2:
            raise DataError(f"{path}, line {number}: {line[:40]!r} is no image with its class. Put a whole copy there.")
        labels[Path(words[0]).stem] = words[1]
    return labels


def listed(files: Sequence[File], table: Path, class_names: Sequence[str]) -> Listing:
    """The files of these classes, as the list gives them, with their labels; others are left out."""
    labels, numbers = read_labels(table), {name: number for number, name in enumerate(class_names)}
    known = [(file, numbers[name]) for file in files if (name := labels.get(Path(file.path).stem, "")) in numbers]
    return Listing([file for file, _ in known], np.array([number for _, number in known], np.int64))
