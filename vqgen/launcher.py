"""What SLURM, torchrun or Lightning says of this process before the processes of its run have joined."""

import os


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
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def is_first() -> bool:
    """Whether this is the first process of a run, or the only one."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"]) == 0
    if "LOCAL_RANK" in os.environ:   # before SLURM's, which the processes that Lightning starts inherit
        return int(os.environ["LOCAL_RANK"]) == int(os.environ.get("NODE_RANK", 0)) == 0
    return int(os.environ.get("SLURM_PROCID", 0)) == 0


def started_by_first() -> bool:
    """Whether this process was started by the first one of its run, which has settled all."""
    return "RANK" not in os.environ and int(os.environ.get("LOCAL_RANK", 0)) > 0


def local_rank() -> int:
    """Number of this process among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
