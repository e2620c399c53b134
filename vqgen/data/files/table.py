"""Sets of images as the library `datasets` reads them: from the Hugging Face hub, or from a folder of their files."""

import difflib
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy import ndarray

from vqgen.data.error import OPTION, require
from vqgen.data.files.decode import UnreadableError, decode_bytes
from vqgen.data.files.depth import brightest
from vqgen.data.files.layout import role_of
from vqgen.data.files.prepare import UNREADABLE, Attempt, ahead, prepare
from vqgen.data.reading import printable
from vqgen.errors import DataError, near_miss

_ON_HUB = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]*")  # a name there, with or without a user's
_SAVED = ("dataset_dict.json", "state.json")  # in a folder that `save_to_disk` has written: of all splits, or of one
_AT_ONCE = 64  # images in memory, as files, for each of two parts
_LABELS = ("label", "labels")  # names of a column of classes that have no names


def open_splits(root: str, folder: Path | None, config: str | None, revision: str | None) -> dict[str, Any]:
    """The `datasets.IterableDataset` of every split of a set, by name; no image is read yet.

    Args:
        root: its name on the hub, if it is in no `folder`.
        folder: where it is, if it is not on the hub.
        config: which part of a set that has several.
        revision: branch, tag or commit on the hub.

    Raises:
        DataError: there is no such set, or it cannot be reached.
    """
    import datasets

    near = _similar(Path(root))
    if folder is None and not _ON_HUB.fullmatch(root):
        raise DataError(f"data.root={root}: there is no such folder{near}. Set {OPTION} to where it is.")
    try:
        if folder is not None and any((folder / name).is_file() for name in _SAVED):
            saved = datasets.load_from_disk(str(folder))
            splits = saved if isinstance(saved, dict) else {"train": saved}
            return {name: split.to_iterable_dataset() for name, split in splits.items()}
        place = root if folder is None else str(folder.resolve())
        return dict(datasets.load_dataset(place, config, revision=revision, streaming=True))
    except Exception as error:  # of the network, of the hub, of any kind of file
        what = "cannot be opened" if folder else f"is no folder here{near}, and as a name on the hub"
        raise DataError(f"data.root={root} {what}: {_reason(error)}") from error


def _similar(path: Path) -> str:
    """A folder beside `path` with nearly its name, as a question."""
    names = [other.name for other in path.parent.iterdir() if other.is_dir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, 1)
    return f" (did you mean {path.with_name(close[0])}?)" if close else ""


def find_splits(names: Sequence[str], asked: Mapping[str, str | None]) -> dict[str, str]:
    """Which splits of a set are train, val and test: those asked for, else by name; val and test may be absent.

    Raises DataError where that is unclear, or a split that is asked for is not there.
    """
    found = {}
    for split, word in asked.items():
        named = [name for name in names if role_of(name) == split] if word is None else [word]
        require(word is None or word in names, split, word, f"the set has no such split{near_miss(str(word), names)}")
        require(len(named) < 2, split, "null", f"the set has {' and '.join(named)}: name one of them")
        if named:
            found[split] = named[0]
    if "train" not in found and len(names) == 1:
        found["train"] = names[0]
    require("train" in found, "train", "null", f"name the split to train on, one of {', '.join(names)}")
    return found


def features_of(split: Any) -> dict[str, Any]:
    """The kind of each column; None where the library does not know it before it has read the split."""
    return dict(split.features or dict.fromkeys(next(iter(split), {})))


def image_column(features: Mapping[str, Any], asked: str) -> str:
    """The column of images: that of this name, or the only one if "auto" is asked for. DataError where it is none."""
    import datasets

    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    images = images or [name for name, kind in features.items() if _has_bytes(kind)]
    if asked == "auto" and len(images) == 1:
        return images[0]
    if asked == "auto" and images:
        raise DataError(f"data.image=auto: the set has several columns of images: take one of {', '.join(images)}.")
    if asked == "auto":
        raise DataError(f"data.image=auto: the set has no column of images, only {', '.join(features) or 'nothing'}.")
    if asked not in features:
        raise DataError(f"data.image={asked}: the set has no such column{near_miss(asked, images or features)}.")
    if asked not in images and not _has_bytes(features[asked]):
        raise DataError(f"data.image={asked}: that column holds {features[asked]}, no images{near_miss('', images)}.")
    return asked


def _has_bytes(kind: Any) -> bool:
    """Whether a column may hold image files, in a table written without the library."""
    return "bytes" in kind if isinstance(kind, dict) else getattr(kind, "dtype", "") in ("binary", "large_binary")


def label_column(features: Mapping[str, Any], asked: str | None) -> str | None:
    """The column of classes: that of this name, or if "auto" is asked for, the only one, if there is any."""
    import datasets

    able = [name for name, kind in features.items() if _is_class(kind)]
    if asked is None or asked in able:
        return asked
    if asked == "auto":
        named = [name for name in able if isinstance(features[name], datasets.ClassLabel)]
        found = named or [name for name in able if name in _LABELS]
        if len(found) > 1:
            raise DataError(f"data.label=auto: the set has several: take one of {', '.join(found)}, or null for none.")
        return found[0] if found else None
    if asked not in features:
        raise DataError(f"data.label={asked}: the set has no such column{near_miss(asked, able)}.")
    raise DataError(f"data.label={asked}: that column holds {features[asked]}, no classes{near_miss('', able)}.")


def _is_class(kind: Any) -> bool:
    """Whether a column may hold classes: ClassLabel, integers, text or truth values."""
    dtype = str(getattr(kind, "dtype", ""))
    return dtype.removeprefix("u").startswith("int") or dtype in ("string", "large_string", "bool")


class Streamed(NamedTuple):
    """What is known of a split once its images lie in a folder."""

    content: str  # hash of the image files
    labels: list[str | None]  # name of the class of each image; None where it has none
    classes: list[str]  # their names in their order: by number where they are numbers
    unreadable: list[tuple[int, str]]  # row and reason of every image that was left out
    deep: list[tuple[int, bool]]  # of each image of 16 bits, as in `brightest`


def stream(
    split: Any,
    name: str,
    folder: Path,
    columns: tuple[str, str | None],
    shape: tuple[int, int, int],
    window: int | None,
    white: int,
) -> Streamed:
    """Write all images of a split to images.npy in a new folder, as they come.

    Args:
        split: a `datasets.IterableDataset`.
        name: of the split, for messages.
        folder: which is made.
        columns: those of images and of classes.
        shape, window, white: as in `decode`.

    Raises:
        DataError: the set cannot be read to its end.
    """
    image, label = columns
    kind = features_of(split).get(str(label))  # None of a split without that column, whose classes nobody knows
    labels: list[Any] = []
    deep: list[tuple[int, bool] | None] = []

    def images() -> Iterator[Mapping[str, Any] | None]:
        for row in _rows(split, name, [image, label] if label and kind else [image]):
            labels.append(row.get(str(label)))
            yield row[image]

    def attempt(stored: Mapping[str, Any] | None) -> Attempt:
        content = b""
        try:
            content = _content(stored)
            deep.append(brightest(io.BytesIO(content)))
            result: ndarray | str = decode_bytes(content, shape, window, white)
        except (UnreadableError, FileNotFoundError) as error:
            result = printable(str(error))
        return Attempt(result, hashlib.blake2b(content, digest_size=16).digest())

    folder.mkdir(exist_ok=True)
    attempts = ahead(attempt, images(), _AT_ONCE)
    content = prepare(attempts, lambda row: f"{name}[{row}]", None, shape, folder, True, f"Preparing {name}")
    unreadable = [(row, why) for row, _, why in json.loads((folder / UNREADABLE).read_text())]
    names = getattr(kind, "names", None)
    if names:  # -1 is how the sets of the hub say that it is not known
        labels = [None if value is None or value < 0 else names[value] for value in labels]
    classes = names or map(str, sorted({*labels} - {None}))
    text = [None if value is None else str(value) for value in labels]
    return Streamed(content, text, list(classes), unreadable, [one for one in deep if one])


def _rows(split: Any, name: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    """All rows of a split in their order; images, in the first column, as they are stored."""
    import datasets

    number = 0
    try:
        for row in split.select_columns(columns).cast_column(columns[0], datasets.Image(decode=False)):
            yield row
            number += 1
    except Exception as error:  # of the network and of damaged files
        raise DataError(f"The split {name} cannot be read after {number} images: {_reason(error)}") from error


def _content(image: Mapping[str, Any] | None) -> bytes:
    """The image file of a row; empty where it has none. Raises FileNotFoundError."""
    import fsspec

    if image is None or image["bytes"] is not None or image["path"] is None:
        return (image or {}).get("bytes") or b""
    try:
        with fsspec.open(image["path"], "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise
    except Exception as error:  # of the network: left out, the image would be missing for ever
        raise DataError(f"{printable(image['path'])} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """All that an error says, in one line."""
    return printable(" ".join(str(error).split())) or type(error).__name__
