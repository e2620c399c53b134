"""Warnings of what a cache holds in vain; deleting it is left to its owner."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from tqdm import tqdm

from vqgen.errors import listed


def warn_of_leftovers(folder: Path, file: str, ours: Mapping[str, object], same: Sequence[str], changed: str) -> None:
    """Warn in one line of the folders beside a new one that nothing uses any more.

    Their parts, which hold a `file` of this name, have a meta.json of another `format` than `ours` (an older version
    wrote none), or of the `same` values but for the one that has `changed`.
    """

    def is_old(part: Path) -> bool:
        try:
            other = dict(json.loads((part / "meta.json").read_text()))
        except (OSError, ValueError, TypeError):
            return True
        of_the_same = all(other.get(key) == ours[key] for key in same)
        return other.get("format") != ours["format"] or (of_the_same and other.get(changed) != ours[changed])

    others = [other for other in sorted(folder.parent.iterdir()) if other != folder]
    found = [other for other in others if any(is_old(part.parent) for part in other.glob(f"[!.]*/{file}"))]
    if not found:
        return
    size = sum(path.stat().st_size for other in found for path in other.rglob("*") if path.is_file())
    rank_zero_warn(
        f"{folder.parent} holds {tqdm.format_sizeof(size, 'B')} made by an older version, or before the files changed, "
        f"that is not used any more: rm -r {listed((shlex.quote(str(path)) for path in found), 3, ' ')}"
    )
