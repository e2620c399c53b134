"""What the WordNet ids of ImageNet mean, read from the tables that come with it."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from vqgen.errors import DataError

TABLES = ("LOC_synset_mapping.txt", "words.txt", "imagenet_class_index.json")


def class_names(ids: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The name of each class: the first of its words, typed easily: hyphens for spaces, no apostrophe.

    An id of which no table knows a name stays as it is; where several ids have the same name, theirs is added.

    Args:
        ids: WordNet ids, such as n01440764.
        folders: where to look for one of `TABLES`; the first found is taken.

    Raises:
        DataError: the table is damaged; names the line.
    """
    path = next((folder / table for folder in folders for table in TABLES if (folder / table).is_file()), None)
    known = dict(_rows(path)) if path else {}
    names = [known.get(wordnet, wordnet) for wordnet in ids]
    count = Counter(names)
    return [f"{name}-{i}" if count[name] > 1 else name for name, i in zip(names, ids, strict=True)]


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Id and name; of the text files a line is `n01440764 tench, Tinca tinca`."""
    try:
        text = path.read_text(encoding="utf-8")
        lines = [" ".join(row) for row in json.loads(text).values()] if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(f"{path}", f"it cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        found = re.fullmatch(r"(n\d+)\s+([^\s,][^,]*)(,.*)?", line.strip())
        if found is None:
            raise _damaged(f"{path}, line {number}", f"{line[:40]!r} is no id with a name")
        yield found[1], re.sub(r"[\s_]+", "-", found[2].strip().replace("'", ""))


def _damaged(place: str, what: str) -> DataError:
    return DataError(f"{place}: {what}. Put a whole copy there, or take it away and the classes keep their ids.")
