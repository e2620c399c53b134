"""A sweep on disk: the jobs of a multirun that are compared, and do not draw together."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vqgen.errors import UserError, first_line
from vqgen.runs.folders import located
from vqgen.runs.job import Sweep
from vqgen.runs.leaderboard import JOB, read_jobs, swept

LEVELS = ["level"]  # what a multirun varies whose jobs are the priors of one tokenizer
_NO_YAML = (yaml.YAMLError, OmegaConfBaseException)


def sweep_at(run: str | Sequence[str] | None) -> Sweep | None:
    """The sweep whose folder is given as `run`; None for anything else, the priors of the levels of a tokenizer too.

    Raises:
        UserError: its jobs cannot be read.
    """
    if not isinstance(run, str) or not run or (place := located(run)).joinpath("checkpoints").exists():
        return None
    try:
        jobs = read_jobs(place)
        names = swept(jobs)
        judged = _objective(Path(jobs[0].folder)) if jobs else ("", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, *_NO_YAML) as error:
        said = first_line(error)
        raise UserError(f"run={run}: its jobs' {JOB} cannot be read: {type(error).__name__}: {said}") from None
    if len(jobs) < 2 or names == LEVELS:
        return None
    return Sweep(place, jobs, names, *judged)


def _objective(job: Path) -> tuple[str, str]:
    """The metric that a job is judged by, and whether less or more of it is better."""
    file = job / "config.yaml"
    config = OmegaConf.load(file) if file.is_file() else OmegaConf.create()
    found = [OmegaConf.select(config, f"callbacks.best.{name}") for name in ("monitor", "mode")]
    return str(found[0] or "objective"), str(found[1] or "min")
