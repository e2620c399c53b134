"""Where files may be written when paths come from the config of someone's run, and not from the user."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from vqgen.errors import DataError

_TAG = "CACHEDIR.TAG"  # marks a folder of what can be made again (https://bford.info/cachedir)
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# made by vqgen, which makes it again where it is deleted\n"
_allowed: list[Path] = []  # the only folders to be written to; none: any
_named: list[Path] = []  # by the user, beside those
_foreign: list[Path] = []  # folders of runs, whose links may be a stranger's


def confine(*folders: Path, foreign: Iterable[Path] = ()) -> None:
    """From here on write into these folders, where links in the working folder lead, and into marked caches alone.

    Args:
        folders: those that the user has named; none for no limit.
        foreign: folders of runs: links in them, and in what lies beside them in a folder of the working folder, are
            not followed.
    """
    _allowed[:] = [*(folder.resolve() for folder in folders), *_named] if folders else []
    _foreign[:] = [folder.resolve() for folder in foreign]


def allow(folder: Path) -> None:
    """Let a folder that the user has named be written to, whatever `confine` is told later."""
    _named.append(folder.resolve())


def mark(cache: Path) -> None:
    """Mark a folder as one of things that can be made again."""
    (cache / _TAG).write_text(_SIGNATURE)


def require_allowed(path: Path, whole: Path) -> None:
    """Raise DataError where nothing may be written to a path, a part of the folder `whole`."""
    place = path.resolve()
    if not _allowed or any(place.is_relative_to(folder) for folder in _allowed) or _by_own_link(path):
        return
    if not any((parent / _TAG).is_file() for parent in place.parents):
        folder, tag = (shlex.quote(str(place)) for place in (whole, whole / _TAG))
        raise DataError(
            f"The config of the run would write '{path}', outside of '{_allowed[0]}': refused. If your data go there, "
            f"say so: mkdir -p {folder} && touch {tag} (beside resume=RUN, data_dir=FOLDER says it too)"
        )


def _by_own_link(path: Path) -> bool:
    """Whether a path goes out of the working folder by a link that the user has put there (data, to a large disk)."""
    here, absolute = Path.cwd(), Path.cwd() / path
    if ".." in path.parts or absolute == here or not absolute.is_relative_to(here):
        return False
    top = here / absolute.relative_to(here).parts[0]
    return not any(run == here or run.is_relative_to(top) for run in _foreign)
