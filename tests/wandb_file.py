"""Reads what an offline W&B run wrote, as a later sync would send it."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _FULL, _LAST = 32768, 1, 4


def rows(run: Path) -> list[dict[str, Any]]:
    """The history of a run folder's W&B run: its latest part, which is whole by itself."""
    histories = [record.history for record in records(run) if record.WhichOneof("record_type") == "history"]
    return [_items(row) for row in histories]


def _items(history: Any) -> dict[str, Any]:
    """The values of a row; those of a picture or histogram come one by one, under two keys."""
    row: dict[str, Any] = {}
    for item in history.item:
        *outer, key = item.nested_key or [item.key]
        (row.setdefault(outer[0], {}) if outer else row)[key] = json.loads(item.value_json)
    return row


def records(run: Path) -> list[Any]:
    """Every record of the run's latest part."""
    from wandb.proto import wandb_internal_pb2

    (file,) = run.glob("wandb/latest-run/*.wandb")
    return [wandb_internal_pb2.Record.FromString(part) for part in _parts(file.read_bytes())]


def _parts(data: bytes) -> Iterator[bytes]:
    """The records of a file in the format of LevelDB's logs, with a header of its own; a cut record ends it."""
    assert data[:4] == b":W&B"
    place, record = 7, b""
    while place + 7 <= len(data):
        room = _BLOCK - place % _BLOCK
        if room < 7:
            place += room
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if kind == 0 or place + 7 + length > len(data):
            return
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (_FULL, _LAST):
            yield record
            record = b""
