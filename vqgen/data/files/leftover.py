"""What a cache holds that nothing will use again: a warning says so; to delete it is for its owner."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from tqdm import tqdm

from vqgen.data.reading import listed


def warn_of_leftovers(folder: Path, file: str, ours: Mapping[str, object], same: Sequence[str], changed: str) -> None:
    """Say in one line which folders beside a new one it has made useless.

    Those are of another `format`, or were made of the same and have changed since. Where there is no meta.json, an
    older version made the folder.

    Args:
        folder: the new one.
        file: that lies in every part of such a folder.
        ours: what meta.json says in the new one.
        same: keys of meta.json that say of what a folder was made.
        changed: key of meta.json that says in what state that was.
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
