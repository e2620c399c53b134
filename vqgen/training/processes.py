"""The processes of a run: they end together, and nothing of them disturbs the next run of a sweep."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.environment.compat import starts_processes
from vqgen.environment.launcher import slurm_port, slurm_tasks, started_by_srun
from vqgen.environment.signals import listening
from vqgen.errors import ConfigError, Interruption
from vqgen.plain import PlainDict

if dist.is_available():
    import vqgen.training.sharding  # noqa: F401  # which makes hardware.strategy=fully_sharded known

_PATIENCE = 60.0  # seconds for other processes to end by themselves
_FIRST = 3.0  # seconds for the first process to find the same mistake; Lightning looks for crashes every 5


def on_any_rank(trainer: pl.Trainer, decision: bool) -> bool:
    """Whether any process decides so."""
    return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))


def check(trainer: pl.Trainer, hardware: PlainDict) -> None:
    """Raise ConfigError where the processes of a run cannot be those that `hardware` asks for."""
    _check_strategy(trainer.strategy, hardware["strategy"])
    tasks, number = slurm_tasks(), trainer.num_devices * trainer.num_nodes
    if tasks is None or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    if trainer.world_size != number or (number == 1 < tasks and started_by_srun()):
        raise ConfigError(
            f"hardware.devices={hardware['devices']}: the run has {number} process{'es' * (number > 1)}, and SLURM "
            f"starts {tasks} (SLURM_NTASKS): one task a device is srun --nodes={trainer.num_nodes} --ntasks-per-node="
            f"{trainer.num_devices}; without SLURM_NTASKS the run starts those of one machine itself"
        )
    if number > 1 and not started_by_srun():
        rank_zero_warn(f"not started by srun, as it seems (no SLURM_STEP_ID): this waits for {number - 1} other tasks")
    if port := slurm_port():  # Lightning's is one for all steps of a job
        os.environ.setdefault("MASTER_PORT", str(port))


def _check_strategy(strategy: Strategy, name: str) -> None:
    """Raise ConfigError unless each device has a process that runs the program from its start, and the whole model.

    Codebooks follow the joined batch of all, and a checkpoint holds whole weights, also that of our own way to divide
    them (vqgen.training.sharding); forked and spawned processes would begin in the middle of a run, when its folder is
    taken and its data are read.
    """
    forks = starts_processes(strategy) is not None
    if forks or not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        why = "begins its processes in the middle of a run" if forks else "does not keep the model whole on each device"
        raise ConfigError(f"hardware.strategy={name}: this {why}; take ddp, or auto, or hardware=fsdp")


def on_rank_zero(trainer: pl.Trainer, model: pl.LightningModule) -> pl.LightningModule | None:
    """What rank 0 may draw and measure with while the others wait, for whom it is None; every rank must ask."""
    whole = getattr(trainer.strategy, "whole_model", None)  # where each process has a part of it
    return whole() if whole else model if trainer.is_global_zero else None


@contextmanager
def of_one_run(trainer: pl.Trainer) -> Iterator[None]:
    """Around training and test: the processes that the trainer has started have ended when the block ends."""
    before = set(os.environ)
    try:
        with listening():
            yield
        _end(trainer, _PATIENCE)
    except BaseException as error:
        _end(trainer, _PATIENCE if isinstance(error, Interruption) else 0.0)
        if not isinstance(error, Interruption) and trainer.local_rank > 0:
            time.sleep(_FIRST)  # most mistakes are everyone's: the first process tells it, and ends this one
        raise
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        for key in {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - before:
            os.environ.pop(key, None)  # Lightning's, for processes that it starts: the next job starts its own


def _end(trainer: pl.Trainer, patience: float) -> None:
    """Wait for the processes that this one has started, and end those that stay."""
    until = time.monotonic() + patience
    for process in getattr(trainer.strategy.launcher, "procs", []):
        try:
            process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.returncode = 0  # for Lightning, which otherwise ends this process, too, and with it a sweep
