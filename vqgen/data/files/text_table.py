"""Lists that come with published images: text, with a line for each image or class."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqgen.data.files.tree import File, Listing, stem_of
from vqgen.errors import DataError

LABELS = ("LOC_val_solution.csv", "val_annotations.txt")  # of ImageNet from Kaggle, and of Tiny ImageNet


class TextTable(NamedTuple):
    """A list in a file, and what an error advises where it is damaged."""

    path: Path
    remedy: str = "Put a whole copy there."

    def error(self, what: str, line: int | None = None) -> DataError:
        """The error that names the file, the line (from 1), and what is wrong with it."""
        return DataError(f"{self.path}{'' if line is None else f', line {line}'}: {what}. {self.remedy}")

    def text(self) -> str:
        """All of it. Raises DataError where it is no text."""
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(f"it cannot be read ({error})") from error

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Number and words of each line that has any; commas, semicolons and quotes part them as spaces do."""
        for number, line in enumerate(self.text().split("\n"), 1):
            if words := re.sub('[,;"]', " ", line).split():
                yield number, words


def first_of(names: Sequence[str], folders: Iterable[Path]) -> Path | None:
    """The first file of one of these names in one of these folders."""
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)


def table_listing(files: Sequence[File], path: Path, class_names: Sequence[str]) -> Listing:
    """The files of these classes with their labels, as one of `LABELS` gives them; others are left out.

    A line is `ILSVRC2012_val_00000001,n01751748 111 108 370 285` or `val_0.JPEG n03444034 0 32 44 62`.
    """
    table, numbers = TextTable(path), {name: number for number, name in enumerate(class_names)}
    labels = {}
    for line, words in table.rows():
        if len(words) < 2:
            raise table.error(f"{words[0][:40]!r} is no image with its class", line)
        labels[Path(words[0]).stem] = numbers.get(words[1])  # of the heading, ImageId, none
    known = [(file, label) for file in files if (label := labels.get(stem_of(file.path))) is not None]
    return Listing([file for file, _ in known], np.array([label for _, label in known], np.int64))
