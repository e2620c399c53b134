"""Checkpoint files that are whole or not there, with the one before kept beside `last.ckpt`."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from vqgen.errors import UserError, command, first_line, is_full, of_the_system
from vqgen.plain import PlainDict
from vqgen.runs.atomic import replacing

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class SaveError(UserError):
    """A checkpoint could not be written; those before it are as they were."""


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes under a temporary name in the same folder, waits for the disk, and renames.

    A kill, a full disk or a power cut while it writes leaves the file of that name as it was.
    """

    def save_checkpoint(self, checkpoint: PlainDict, path: str | Path, storage_options: Any = None) -> None:
        """Write `path`; the `last.ckpt` that was there becomes `previous.ckpt`."""
        path = Path(path)
        _clear(path)
        try:
            with replacing(path) as part:
                _write(checkpoint, part)
                if path.name == LAST and path.exists():
                    _keep(path, path.with_name(PREVIOUS))
            _sync(path.parent)
        except (OSError, RuntimeError) as error:
            said = of_the_system(error)
            reason = said.strerror if said else first_line(error)
            remedy = "make room" if is_full(error) else "mend that"
            raise SaveError(
                f"'{path}' could not be written ({reason}); {_left(path.parent)}; {remedy} and go on with: "
                f"{command('train', resume=path.parent.parent)}"
            ) from error

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint that a better one has replaced: a file and never a folder, as a path may be someone's."""
        Path(path).unlink(missing_ok=True)


def _write(checkpoint: PlainDict, path: Path) -> None:
    with path.open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


def _keep(path: Path, previous: Path) -> None:
    """Call a file `previous` too, so that there is one called `path` at every moment: a kill may come at any."""
    _clear(previous)
    with replacing(previous) as name:
        try:
            name.hardlink_to(path)
        except OSError:  # a disk that knows no second names: for a moment there is `previous` alone
            path.replace(name)


def _sync(folder: Path) -> None:
    """Wait until the disk knows the names in a folder (some disks know no such wait)."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _clear(path: Path) -> None:
    """Remove what a killed process left of this file."""
    for remnant in path.parent.glob(f".{path.name}.part-*"):
        with suppress(OSError):
            remnant.unlink()


def _left(folder: Path) -> str:
    names = [name for name in (LAST, PREVIOUS, "best.ckpt") if (folder / name).exists()]
    return f"what was written before is as it was: {', '.join(names)}" if names else "there is no other"
