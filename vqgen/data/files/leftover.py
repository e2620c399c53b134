"""What a cache holds that nothing will use again: it is told; to delete it is for its owner."""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from tqdm import tqdm

_SHOWN = 3   # folders in a message


def warn_of_leftovers(folder: Path, file: str, is_old: Callable[[Mapping[str, Any]], bool]) -> None:
    """Say in one line which folders beside a new one it has made useless.

    Args:
        folder: the new one.
        file: that lies in every part of such a folder.
        is_old: whether what meta.json says of a part (nothing, where an older version made it) is out of date.
    """
    found = [
        other for other in sorted(folder.parent.iterdir())
        if other != folder and any(is_old(_meta(part.parent)) for part in other.glob(f"[!.]*/{file}"))
    ]  # fmt: skip
    if not found:
        return
    size = sum(path.stat().st_size for other in found for path in other.rglob("*") if path.is_file())
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    rank_zero_warn(
        f"{folder.parent} holds {tqdm.format_sizeof(size, 'B')} made by an older version, or before the files changed, "
        f"that is not used any more: rm -r {shlex.join(map(str, found[:_SHOWN]))}{more}"
    )


def _meta(part: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((part / "meta.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}
