"""Where runs lie: folders and checkpoint files named by the user."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from vqgen.errors import ConfigError, FolderError, UserError, near_miss, typed
from vqgen.runs.hub import cached_name, is_address, snapshot
from vqgen.runs.published import is_published, published_levels

COMPOSED = "composed.yaml"  # in a run folder: the config before its references were resolved, to resume from
RELEASED = Path(__file__).resolve().parents[1] / "released"  # small trained runs that come with the project


def numbered(folder: Path) -> Path:
    """The first of FOLDER, FOLDER_2, FOLDER_3, ... that is free; making it takes it, also among several processes."""
    for number in count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        with suppress(FileExistsError):
            place.mkdir(parents=True)
            return place
    raise AssertionError("numbers do not end")


def require_free(folder: Path) -> None:
    """Raise FolderError where a folder holds a run; what came of a start that failed is in nobody's way."""
    if any((folder / "checkpoints").glob("*.ckpt")):
        raise FolderError(
            f"'{folder}' holds a run already: go on with it by {typed('resume', folder)}, or choose another run_dir"
        )


def located(path: str | Path) -> Path:
    """The path, or, where nothing is there, the released run of this name if there is one; of `hf://` its snapshot."""
    if is_address(path):
        return snapshot(str(path))
    path = Path(path)
    return path if path.exists() or not (RELEASED / path).exists() else RELEASED / path


def released() -> list[str]:
    """Names of the released runs."""
    return sorted(folder.name for folder in RELEASED.glob("*/"))


def output_base(folder: Path) -> Path:
    """Where what is made of a run belongs: its folder; of a released run or one of the Hub, one in `runs` here."""
    if name := cached_name(folder):
        return Path("runs", "hub", name)
    inside = folder.resolve().is_relative_to(RELEASED)
    return Path("runs", "released", folder.resolve().relative_to(RELEASED)) if inside else folder


def run_name(folder: Path) -> str:
    """What a run is called in figures: the name of its folder, or of its repository."""
    return (cached_name(folder) or folder).name


def shown_runs(folders: Sequence[Path]) -> str | list[str]:
    """How one would name some runs: as short as it can be, and without one's home."""
    places = [_typed_place(folder) for folder in folders]
    if len(places) == 1:
        return places[0]
    with suppress(UserError):
        if {*map(Path, find_runs(str(folders[0].parent)))} == {*folders}:
            return _typed_place(folders[0].parent)
    return places


def _typed_place(folder: Path) -> str:
    """`hf://USER/NAME`, the name of a released run, or the path from here or from home."""
    if name := cached_name(folder):
        return f"hf://{name}"
    place = folder.resolve()
    for base, prefix in ((RELEASED, ""), (Path.cwd(), ""), (Path.home(), "~/")):
        if place != base and place.is_relative_to(base):
            return f"{prefix}{place.relative_to(base)}"
    return str(place)


def without_home(text: str) -> str:
    """Text with ~ for one's home folder wherever that stands in it as a whole, or before a `/`."""
    home = str(Path.home())
    return text if home == "/" else re.sub(rf"(?<![\w.~-]){re.escape(home)}(?![\w-]|\.\w)", "~", text)


def find_run(path: str | Path) -> Path:
    """The folder of a run given as its folder, one of its checkpoint files, the name of a released run or `hf://...`.

    Raises:
        UserError: nothing there, or no checkpoint in it.
    """
    path = located(path)
    if path.is_file():
        return path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if not path.is_dir():
        siblings = [p.parent.name for p in path.parent.glob("*/checkpoints")] + released()
        raise ConfigError(f"no run folder or checkpoint at '{path}'{near_miss(path.name, siblings)}")
    if not any((path / "checkpoints").glob("*.ckpt")) and not is_published(path):
        if levels := published_levels(path):
            raise ConfigError(f"'{path}' holds several runs: say which: {', '.join(map(str, levels))}")
        raise ConfigError(f"'{path}' holds no checkpoint (looked for checkpoints/*.ckpt and model.safetensors)")
    return path


def find_started(path: str | Path) -> Path:
    """As `find_run`, for a run that may have been killed before it wrote a checkpoint.

    Raises:
        ConfigError: no run began here.
    """
    if Path(path, COMPOSED).is_file():
        return Path(path)
    try:
        folder = find_run(path)
    except UserError as error:
        raise ConfigError(f"resume={path}: {error}") from None
    if not any((folder / "checkpoints").glob("*.ckpt")):
        raise ConfigError(f"resume={path}: a published run has no state of an optimiser to go on with; train a new one")
    return folder


def find_runs(run: str | Sequence[str]) -> list[str]:
    """The runs meant by one run, a list of runs, or the folder of a multirun.

    Raises:
        ConfigError: one of them is not there.
    """
    if not isinstance(run, str):
        return [found for one in run for found in find_runs(one)]
    try:
        place = located(run)
    except UserError as error:
        raise ConfigError(f"run={run}: {error}") from None
    jobs = sorted(p for p in place.glob("*/checkpoints") if any(p.glob("*.ckpt")))
    if jobs and not (place / "checkpoints").exists():
        return [str(job.parent) for job in jobs]
    if not jobs and not (place / "checkpoints").exists() and (levels := published_levels(place)):
        return [str(level) for level in levels]
    check_run("run", run)
    return [run]


def check_run(key: str, run: object) -> None:
    """Raise ConfigError, naming the option, where there is no run at the path that an option gives."""
    if isinstance(run, str) and run:  # other types are told by the check of types
        try:
            find_run(run)
        except UserError as error:
            raise ConfigError(f"{key}={run}: {error}") from None
