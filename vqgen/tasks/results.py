"""The folder for the results of a task."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from vqgen.errors import UserError
from vqgen.runs.claim import claimed
from vqgen.runs.folders import numbered


@contextmanager
def results_folder(run: Path, task: str, out: str | None = None) -> Iterator[Path]:
    """A folder for the results of one call, made before the work begins; an empty one is removed at the end.

    It is RUN/TASK, or RUN/TASK_2, RUN/TASK_3 and so on where earlier calls took that; `out` is exactly this folder
    instead, whose files of the same names are overwritten. UserError where a file is in the way, the folder cannot be
    made or written to, or another call writes to it.
    """
    wanted = Path(out) if out else run / task
    missing = [place for place in wanted.parents if not place.exists()]  # of a released run, say
    try:
        was_there = bool(out) and wanted.exists()
        folder = wanted if out else numbered(wanted)
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # told now, rather than after an hour of drawing
            pass
    except OSError as error:
        raise UserError(_why(error, wanted, out)) from None
    try:
        with claimed(folder):  # another call with the same out= would mix with this one
            yield folder
    finally:
        for place in () if was_there else (folder, *missing):
            with suppress(OSError):  # not empty
                place.rmdir()


def _why(error: OSError, wanted: Path, out: str | None) -> str:
    if out and isinstance(error, FileExistsError | NotADirectoryError):
        return f"out={out}: there is a file of that name; out is a folder"
    elsewhere = "" if out else "; out=FOLDER sends the results elsewhere"
    return f"the results cannot go to '{wanted}': {error.strerror}{elsewhere}"
