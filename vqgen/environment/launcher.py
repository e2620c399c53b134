"""What SLURM, torchrun or Lightning says of this process before the processes of its run have joined."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from vqgen.plain import PlainDict

JOB = "VQGEN_JOB"  # variable of the environment: the job of a sweep that this process was started for
TRIAL = "VQGEN_TRIAL"  # and the trial of a search that this process, with those that it starts, trains


def slurm_job() -> str | None:
    """The SLURM job of this process by the name that `scontrol` knows; None outside of one, and in an interactive one.

    A task of an array is `100_3`, and of the parts of a heterogeneous job the first one stands for all.
    """
    env = os.environ
    if "SLURM_JOB_ID" not in env or env.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    if "SLURM_ARRAY_JOB_ID" in env and "SLURM_ARRAY_TASK_ID" in env:
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env.get("SLURM_HET_JOB_ID", env["SLURM_JOB_ID"])


def slurm_restarts() -> int:
    """How often the SLURM job of this process was queued again."""
    return _number("SLURM_RESTART_COUNT")


def is_first() -> bool:
    """Whether this is the first process of a run, or the only one."""
    if os.environ.get("RANK"):
        return _number("RANK") == 0
    if os.environ.get("LOCAL_RANK"):  # before SLURM's, which the processes that Lightning starts inherit
        return _number("LOCAL_RANK") == _number("NODE_RANK") == 0
    return _number("SLURM_PROCID") == 0


def started_by_first() -> bool:
    """Whether this process was started by the first one of its run, which has settled all."""
    return not os.environ.get("RANK") and _number("LOCAL_RANK") > 0


def local_rank() -> int:
    """Number of this process among those of its machine."""
    return _number("LOCAL_RANK" if os.environ.get("LOCAL_RANK") else "SLURM_LOCALID")


def slurm_tasks() -> int | None:
    """How many tasks the SLURM job of this process has, which are then the processes of the run; None where unsaid."""
    return (_number("SLURM_NTASKS") or None) if slurm_job() else None


def started_by_srun() -> bool:
    """Whether this process is a task of a step of a SLURM job, and the others of the run are started beside it."""
    return bool(os.environ.get("SLURM_STEP_ID"))


def slurm_port() -> int | None:
    """Where the tasks of this step of a SLURM job meet: other steps at the same time meet elsewhere."""
    if not slurm_job() or not started_by_srun():
        return None
    job = int("".join(filter(str.isdigit, os.environ["SLURM_JOB_ID"]))[-4:] or 0)
    return 15000 + (job + 997 * _number("SLURM_STEP_ID")) % 10000


def started_by_sweep() -> bool:
    """Whether this process was started for a job of the sweep of another one, which has settled all."""
    return JOB in os.environ


def trial() -> PlainDict | None:
    """The trial of a search that this process trains; None where it trains no such."""
    return json.loads(os.environ[TRIAL]) if TRIAL in os.environ else None


@contextmanager
def of_trial(trial: PlainDict | None) -> Iterator[None]:
    """Around the job of a trial: this process and those that it starts know it."""
    if trial is not None:
        os.environ[TRIAL] = json.dumps(trial)
    try:
        yield
    finally:
        os.environ.pop(TRIAL, None)


def _number(variable: str) -> int:
    """A variable of the environment; 0 where it is empty or not there, or no number."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() else 0
