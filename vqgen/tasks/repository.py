"""A run as the files of a repository: weights, config, model card and pictures, read again and compared."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vqgen.errors import UserError
from vqgen.protocols import priors_of
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.published import CARD, TOKENIZER_FOLDER, repository
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.card import card


def files_of(
    trained: TrainedRun,
    repo: str | None = None,
    license: str | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The files by their paths in the repository, from which the run is opened again, to the bit.

    Args:
        trained: a run that was opened from disk.
        repo: USER/NAME for the card; None where the files stay here.
        license: for the card.
        pictures: PNG files for the card, by name; None for the newest samples of the run.

    Raises:
        UserError: what is read again is not what was written.
    """
    if not trained.runs:
        raise UserError("a run in training is not published: only one that is on disk")
    folders = _folders(trained)
    marks = [fingerprint(module) for module in trained.modules]
    parts = {
        folder: (run, module.state_dict(), mark)
        for folder, run, module, mark in zip(folders, trained.runs, trained.modules, marks, strict=True)
    }
    files = repository(parts, marks[0] if trained.priors else None)
    text, shown = card(trained, repo, license, pictures)
    files |= {CARD: text.encode()} | shown
    _compare(trained, files)
    return files


def _folders(trained: TrainedRun) -> list[str]:
    """Where each model goes: one prior, or a model without, to the repository's own folder."""
    if not trained.priors:
        return [""]
    names = [trained.levels[priors_of(module)[0].level] for module in trained.modules[1:]]
    return [TOKENIZER_FOLDER, *(names if len(names) > 1 else [""])]


def _compare(trained: TrainedRun, files: Mapping[str, bytes]) -> None:
    """Raise UserError unless what the files give has every weight as it is."""
    with TemporaryDirectory() as place:
        write(files, Path(place))
        again = trained.open(place)
        for module, other in zip(trained.modules, again.modules, strict=True):
            state, found = module.state_dict(), other.state_dict()
            if different := [
                name for name in state if not torch.equal(state[name], found[name].to(state[name].device))
            ]:
                raise UserError(
                    f"the files of '{trained.folder}' give another {different[0]} than the run: not written"
                )


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files by their paths in a folder."""
    for name, contents in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)


def listed(files: Mapping[str, bytes]) -> list[str]:
    """A line for each file, with its size."""
    return [f"{len(contents):>13,} bytes  {name}" for name, contents in sorted(files.items())]
