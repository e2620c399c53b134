"""What a run has read, as plain data for its checkpoint, and in which words what is read later differs from it."""

from collections.abc import Iterator, Mapping, Sequence

from vqgen.errors import listed
from vqgen.plain import Plain, PlainDict
from vqgen.protocols import RecordedImages

_SAME_VARIANCE = 1e-3  # relative difference between equal images that two versions of a decoder have read


def provenance(images: RecordedImages, splits: Sequence[str]) -> PlainDict:
    """What a run that learns from these images keeps of them: {"class_names": ..., "splits": {"train": ...}}."""
    found = {name: images.record(name) for name in splits}  # reads the files, and so the names of the classes
    return {"class_names": list(images.class_names), "splits": found}


def differences(then: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """What is not as it was, in words; empty where nothing is. What only one of them knows is not compared.

    `then` may be of an older version, which knew the class names and the variance of the training images at most.
    """
    classes, splits = list(_classes(then, now)), list(_splits(then, now))
    told = classes + splits
    if not told and {"class_names", "variance"} <= then.keys() & now.keys():
        was, is_now = then["variance"], now["variance"]
        if abs(is_now - was) > _SAME_VARIANCE * abs(was):
            told.append(f"the variance of the training images was {was:.5g} and is {is_now:.5g}")
    return told


def other_classes(then: Mapping[str, Plain], now: Mapping[str, Plain]) -> bool:
    """Whether a label means another class now."""
    return any(_classes(then, now))


def _classes(then: Mapping[str, Plain], now: Mapping[str, Plain]) -> Iterator[str]:
    was, is_now = then.get("class_names"), now.get("class_names")
    if was is None or is_now is None or list(was) == list(is_now):
        return
    gone, new = [name for name in was if name not in is_now], [name for name in is_now if name not in was]
    if new:
        yield _named("added", new)
    if gone:
        yield _named("gone", gone)
    if not new and not gone:
        yield "the classes are in another order"


def _named(what: str, names: list[str]) -> str:
    return f"{'class' if len(names) == 1 else 'classes'} {listed(names, 3)} {what}"


def _splits(then: Mapping[str, Plain], now: Mapping[str, Plain]) -> Iterator[str]:
    before = then.get("splits") or {}
    for name, found in (now.get("splits") or {}).items():
        was = before.get(name) or found
        if was.get("images") != found["images"]:
            yield f"{_count(was.get('images'), name)} became {found['images']}"
        elif was.get("digest") != found["digest"]:
            yield f"{_count(found['images'], name)} as before, with other names, sizes or labels"
        elif was.get("content") != found.get("content"):
            yield f"{_count(found['images'], name)} of the same names and sizes, with other content"


def _count(number: Plain, split: str) -> str:
    return f"{number} {split} image{'' if number == 1 else 's'}"


def well_formed(record: Plain) -> bool:
    """Whether the record of a checkpoint is one that can be compared, whoever wrote it."""
    if not isinstance(record, Mapping):
        return False
    names, splits = record.get("class_names", []), record.get("splits", {})
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return named and isinstance(splits, Mapping) and all(isinstance(split, Mapping) for split in splits.values())
