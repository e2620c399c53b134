"""The lists of CelebA: text as published or CSV, a line for each image."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vqgen.errors import DataError


class CelebATable(NamedTuple):
    """The numbers that a list gives to each image: the names of the columns, and the numbers by file name."""

    path: Path
    names: list[str]
    values: dict[str, list[int]]

    def by_stem(self) -> dict[str, list[int]]:
        """The numbers by the name without suffix: the lists say .jpg of the PNG files, too."""
        return {stem_of(name): numbers for name, numbers in self.values.items()}

    def check_holds(self, images: Iterable[str]) -> None:
        """Raises DataError where the list has no line for one of these images, given by their paths."""
        known = self.by_stem()
        if absent := sorted(Path(path).name for path in images if stem_of(path) not in known):
            raise _error(self.path, f"there is no line for {len(absent)} images, such as {absent[0]}")


def stem_of(path: str) -> str:
    """What an image is called, in whichever folder and format it lies."""
    return path.rpartition("/")[2].rpartition(".")[0]


class _Line(NamedTuple):
    number: int
    words: list[str]

    @property
    def is_image(self) -> bool:
        return self.words[0].endswith((".jpg", ".png"))


def read_table(path: Path, names: Sequence[str], allowed: Sequence[int]) -> CelebATable:
    """Read list_eval_partition or list_attr_celeba.

    Args:
        path: the file.
        names: of its columns; empty where the file itself has to tell them.
        allowed: the numbers that may stand in a column.

    Raises:
        DataError: the file is no text, or not whole; names the line.
    """
    lines = _lines(path)
    first = next((i for i, line in enumerate(lines) if line.is_image), len(lines))
    head = [word for line in lines[:first] for word in line.words if word != "image_id"]
    count, told = (head[0], head[1:]) if head and head[0].isdecimal() else (None, head)
    table = CelebATable(path, list(names or told), {})
    if not table.names or not lines[first:]:
        raise _error(path, "it has no line for an image" if table.names else "its first lines name no attribute")
    for line in lines[first:]:
        table.values[line.words[0]] = _numbers(table, line, {str(number) for number in allowed})
    if count not in (None, str(len(table.values))):
        raise _error(path, f"{count} images should follow, and there are {len(table.values)}", lines[0].number)
    return table


def _lines(path: Path) -> list[_Line]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _error(path, f"it is no text that can be read ({error})") from error
    split = enumerate((re.sub('[,;"]', " ", line).split() for line in text.split("\n")), 1)
    return [_Line(number, words) for number, words in split if words]


def _numbers(table: CelebATable, line: _Line, allowed: set[str]) -> list[int]:
    name, *words = line.words
    if not line.is_image:
        raise _error(table.path, f"it begins with {name[:40]!r}, and not with the name of an image", line.number)
    if name in table.values:
        raise _error(table.path, f"{name} stands here a second time", line.number)
    if len(words) != len(table.names):
        raise _error(table.path, f"{name} has {len(words)} numbers instead of {len(table.names)}", line.number)
    if strange := [word for word in words if word not in allowed]:
        wanted = " or ".join(sorted(allowed))
        raise _error(table.path, f"{name} has {strange[0][:40]!r} where {wanted} is expected", line.number)
    return [int(word) for word in words]


def _error(path: Path, what: str, line: int | None = None) -> DataError:
    place = f"{path}" if line is None else f"{path}, line {line}"
    return DataError(f"{place}: {what}. Put a whole copy of the file there, from the address in conf/data/celeba.yaml.")
