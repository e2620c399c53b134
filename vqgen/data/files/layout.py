"""Which folders of a tree are splits, and where its classes begin; a tree that can be taken in two ways is an error."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vqgen.errors import DataError, listed

LAYOUTS = ("auto", "splits", "classes", "flat")
_WORDS = {  # names of split folders, upper or lower case
    "train": "train|training|trn|tr|trainval",
    "val": "val|va|valid|validation|validate|dev|devel|development",
    "test": "test|testing|tst|te|ts|holdout|heldout",
    "eval": "eval|evaluation",  # val where that is not given, else test
}
_SHORT = {"tr", "va", "te", "ts"}
_PLAIN = "set|data|dataset|images?|imgs?|pictures?|photos?|files?|folder|split|jpe?gs?|pngs?|unlabell?ed|unknown"
_SPLIT_WORD = re.compile("|".join(f"(?P<{name}>{words})" for name, words in _WORDS.items()))
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\x00-\x7f]+")


class Layout(NamedTuple):
    """Paths below the root, each empty or with a slash at its end: of all that counts, and of each given split.

    `start` is where the classes of the training images begin: in their folder, or deeper where it holds one alone.
    """

    base: str
    splits: dict[str, str]
    start: str


class _Role(NamedTuple):
    split: str
    rest: tuple[str, ...]  # of the name: train_left is the train of left


def find_layout(paths: Sequence[str], layout: str, root: Path) -> Layout:
    """The layout of a tree, by the paths of all images below the root.

    Raises DataError where the tree can be taken in several ways, or is not as `layout`, one of LAYOUTS, says.
    """
    folders = Folders(paths)
    base = "" if layout == "flat" else folders.wrapped("")
    if layout in ("flat", "classes"):
        return Layout(base, {}, folders.wrapped(base))
    if layout == "auto":
        _refuse_copy(folders, base, root)
    found = _splits(folders.inside[base], root / base)
    others = sorted(folders.inside[base] - set(found.values()))
    if found and others and layout == "auto":
        raise DataError(
            f"{root / base} holds {listed(found.values())}, which are splits, and beside them {listed(others)}: "
            f"data.layout=splits leaves {'that' if len(others) == 1 else 'those'} out, data.layout=classes takes each "
            "folder for a class."
        )
    if layout == "splits" and not found:
        raise DataError(f"data.layout=splits: {root / base} holds no folders train and val or test.")
    training = f"{base}{found['train']}/" if found else base
    start = folders.wrapped(training)
    if layout == "auto":
        _refuse_inner_splits(folders, training, root)
        _refuse_same_inside(folders, start, root)
    return Layout(base, {split: f"{base}{name}/" for split, name in found.items()}, start)


class Folders:
    """The folders that hold images, by the folder that they are in; the root is ""."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.inside: dict[str, set[str]] = defaultdict(set)
        self.files: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            folder, slash, name = path.rpartition("/")
            self.files[folder + slash].add(name)
        for place in list(self.files):
            while place:
                above, slash, name = place[:-1].rpartition("/")
                self.inside[above + slash].add(name)
                place = above + slash

    def wrapped(self, start: str, known: Collection[str] | None = None) -> str:
        """Deeper than `start`, as long as there is one folder alone, of a `known` name or a word such as images."""
        while len(self.inside.get(start, ())) == 1 and not self.files.get(start):
            (name,) = self.inside[start]
            if known is not None and name not in known and not _is_plain(name):
                break
            start += f"{name}/"
        return start

    def entries(self, place: str) -> set[str]:
        """Names of the folders and files in a folder."""
        return self.inside.get(place, set()) | self.files.get(place, set())


def _role(name: str) -> _Role | None:
    """The split in a folder's name, and the other words in it but for numbers and words like images."""
    split, rest = None, []
    for token in map(str.lower, _TOKEN.findall(name)):
        word = re.fullmatch(f"({_SPLIT_WORD.pattern})({_PLAIN})?", token)
        if word and split is None:
            split = next(key for key, value in word.groupdict().items() if value)
        elif not token.isdecimal() and not re.fullmatch(_PLAIN, token):
            rest.append(token)
    return _Role(split, tuple(rest)) if split else None


def role_of(name: str) -> str | None:
    """The split, of train, val and test, that has this name in its whole; None of others."""
    role = _role(name)
    return None if role is None or role.rest else split_in(name)


def split_in(name: str) -> str | None:
    """The split, of train, val and test, that a word of this name says; None where none does.

    Words of two letters, which may stand for languages, count only where they stand alone.
    """
    role = _role(name)
    if role is None or (role.rest and {*map(str.lower, _TOKEN.findall(name))} & _SHORT):
        return None
    return {"eval": "val"}.get(role.split, role.split)


def _is_plain(name: str) -> bool:
    role = _role(name)
    tokens = map(str.lower, _TOKEN.findall(name))
    return (role is not None and not role.rest) or all(re.fullmatch(_PLAIN, token) for token in tokens)


def _splits(names: Iterable[str], place: Path) -> dict[str, str]:
    """The folder of each split, where some are named for splits alike; otherwise none."""
    groups: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(names):
        if role := _role(name):
            groups[role.rest][role.split].append(name)
    whole = [group for group in groups.values() if "train" in group and len(group) > 1]
    if not whole:
        return {}
    for group in whole:
        if "eval" in group:
            group["test" if "val" in group else "val"] += group.pop("eval")
    several = [found for found in whole[0].values() if len(found) > 1] or (len(whole) > 1 and [whole[0]["train"]])
    if several:
        rest = [group["train"][0] for group in whole[1:]]
        raise DataError(
            f"In {place} {listed([*several[0], *rest])} are folders of the same split: keep one of them there, or say "
            "data.layout=classes, which takes each folder for a class."
        )
    return {split: found[0] for split, found in whole[0].items()}


def _refuse_copy(folders: Folders, base: str, root: Path) -> None:
    """Raise DataError where one folder is a copy of all that lies beside it."""
    here = folders.entries(base)
    for name in sorted(folders.inside[base]):
        inner = folders.wrapped(f"{base}{name}/")
        if len(here) > 2 and here - {name} <= folders.entries(inner):
            raise DataError(
                f"{root / base} is there twice: {name} in it holds again {listed(sorted(here - {name}))}. Set "
                f"data.root={root / inner}, move one of the two away, or say data.layout=splits, classes or flat."
            )


def _refuse_inner_splits(folders: Folders, base: str, root: Path) -> None:
    """Raise DataError where images for testing would be trained on: they lie in a folder named so among the rest."""
    for place in sorted(place for place in folders.inside if place.startswith(base)):
        whole = _splits(folders.inside[place], root / place)
        if doubtful := sorted(whole.values()) or _doubtful(folders, place):
            remedy = f"Set data.root={root / place}" if whole else "Call the folders there train, val and test"
            raise DataError(
                f"{root / place} holds {listed(doubtful)}, named as splits are, and all of it would be trained on. "
                f"{remedy}, or say data.layout=classes (each folder of {root / base} is a class) or flat (no classes)."
            )


def _refuse_same_inside(folders: Folders, place: str, root: Path) -> None:
    """Raise DataError where all folders hold folders of the same names: they are splits by another name, or copies."""
    every = [folders.inside.get(f"{place}{kind}/", set()) for kind in folders.inside.get(place, ())]
    inner = [{name for name in names if not name.isdecimal() and not _is_plain(name)} for names in every]
    if len(inner) > 1 and len(same := set.intersection(*inner)) > 1:
        raise DataError(
            f"{root / place} holds {listed(sorted(folders.inside[place]))}, and each of them {listed(sorted(same))}: "
            "call them train, val and test if they are splits, set data.root to one of them, or say "
            "data.layout=classes (each is a class) or flat (no classes)."
        )


def _doubtful(folders: Folders, place: str) -> list[str]:
    """The folders in `place` named as a split, if something beside them may be another split."""
    if len(folders.entries(place)) < 2:
        return []
    roles = {name: role for name in sorted(folders.inside[place]) if (role := _role(name))}
    alike = defaultdict(set)  # val_large and test_large
    for role in roles.values():
        alike[role.rest].add(role.split)
    bare = {name: role.split for name, role in roles.items() if not role.rest}
    if (bare and len({role.split for role in roles.values()}) > 1) or max(map(len, alike.values()), default=0) > 1:
        return list(roles)
    classed = [name for name in bare if len(folders.inside.get(f"{place}{name}/", ())) > 1]
    return [name for name, split in bare.items() if split != "train"] or classed
