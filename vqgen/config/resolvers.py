"""What the files of conf/ have computed: the folder of a run, the name of a sweep."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from vqgen.environment.hydra_versions import register
from vqgen.environment.launcher import slurm_job
from vqgen.errors import ConfigError
from vqgen.runs.folders import find_started

_STARTED = datetime.now()
_noted: dict[str, list[str]] = {"places": [], "changes": []}  # of the words of this program


def _run_folder(resume: str | None) -> str:
    """The folder of the run to go on with, or a new one."""
    if resume:
        return str(find_started(resume))
    if "TORCHELASTIC_RUN_ID" in os.environ and not slurm_job():
        raise ConfigError("run_dir=FOLDER is needed where torchrun starts the processes: all must agree on it")
    return f"runs/{_name()}"


def _sweep_folder() -> str:
    """The folder of a new sweep."""
    return f"multirun/{_name()}"


def _name() -> str:
    """After the job under SLURM, otherwise after the time."""
    return f"slurm_{job}" if (job := slurm_job()) else f"{_STARTED:%Y-%m-%d_%H-%M-%S}"


def _environment(name: str, default: str | None = None) -> str | None:
    """A variable of the environment; the default where it is empty or not there."""
    return os.environ.get(name) or default


def sweep_name() -> str | None:
    """The folder name of the sweep that this job belongs to, if any."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def note_typed(words: Sequence[str], goes_on: bool) -> None:
    """Keep of the words of this program what Hydra does not: where configs are, and what changes a run that goes on.

    Args:
        words: ordered.
        goes_on: whether they go on with a run.
    """
    places = [word for word in words if word.startswith("--config-")]
    changes = [word for word in words if not word.startswith(("--", "hydra", "trust=")) and goes_on]
    _noted.update(places=places, changes=sorted(changes, key=lambda word: not word.startswith("resume=")))


def typed_words() -> list[str]:
    """The options that this run was started with, without where it goes."""
    if not HydraConfig.initialized():
        return []
    return _noted["places"] + [word for word in HydraConfig.get().overrides.task if not word.startswith("run_dir=")]


def resumed_words() -> list[str]:
    """The options that this run is gone on with, `resume=RUN` first; none where nothing is changed."""
    return _noted["changes"] if len(_noted["changes"]) > 1 else []


register("environment", _environment)
register("run_folder", _run_folder)
register("sweep_folder", _sweep_folder)
register("sweep_name", sweep_name)
register("wandb_group", lambda: _environment("WANDB_RUN_GROUP", sweep_name()))
