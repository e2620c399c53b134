"""`last.ckpt`: where a run stands, so that it can go on from any step as if nothing had happened."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from vqgen.errors import Interrupted


class Last(Checkpoint):
    """Writes `last.ckpt` at the end of every epoch, after every so many steps or minutes, and when asked to stop.

    The file before it is kept as `previous.ckpt`. SIGTERM or SIGINT (Ctrl-C) stops the run after the step in hand; a
    second one stops it at once. A checkpoint inside an epoch is written when the next batch is there, as all that
    belongs to the step before has then been logged.

    Args:
        dirpath: folder of the checkpoints.
        every_n_steps: optimiser steps between two checkpoints inside an epoch; None for none.
        every_n_minutes: minutes between two checkpoints; None for none.
    """

    def __init__(self, dirpath: str, every_n_steps: int | None = None, every_n_minutes: float | None = None) -> None:
        super().__init__()
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"{every_n_steps=} must be at least 1; null for none")
        if every_n_minutes is not None and every_n_minutes <= 0:
            raise ValueError(f"{every_n_minutes=} must be more than 0; null for none")
        self.dirpath, self.every_n_steps, self.every_n_minutes = dirpath, every_n_steps, every_n_minutes
        self._saved_step, self._saved_at = 0, time.monotonic()
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def path(self) -> Path:
        """`last.ckpt`."""
        return Path(self.dirpath, "last.ckpt")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals, and count from here."""
        self._saved_step, self._saved_at, self._signal = trainer.global_step, time.monotonic(), None
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if not _slurm_requeues(trainer) or number == signal.SIGINT:
                    self._handlers[number] = signal.signal(number, self._ask_to_stop)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save before the step where it is time, and stop where that is asked for."""
        if batch_idx == 0 or batch_idx % trainer.accumulate_grad_batches or _validated_before(trainer, batch_idx):
            return
        stop = self._any(trainer, self._signal is not None)
        if stop or self._due(trainer):
            self._save(trainer)
        if stop:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and stop where that is asked for."""
        self._save(trainer)
        if self._any(trainer, self._signal is not None):
            self._stop(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop listening."""
        self._give_back_handlers()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop listening."""
        self._give_back_handlers()

    def _due(self, trainer: pl.Trainer) -> bool:
        by_step = self.every_n_steps and trainer.global_step >= self._saved_step + self.every_n_steps
        minutes = (time.monotonic() - self._saved_at) / 60
        by_time = self.every_n_minutes and self._any(trainer, minutes >= self.every_n_minutes)
        return bool(by_step or by_time)

    def _save(self, trainer: pl.Trainer) -> None:
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        trainer.save_checkpoint(self.path, weights_only=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        name = signal.Signals(self._signal).name if self._signal else "a signal to another process"
        raise Interrupted(
            f"by {name} at step {trainer.global_step}, saved in '{self.path}'; "
            f"go on with: python train.py resume={self.path.parent.parent}"
        )

    def _any(self, trainer: pl.Trainer, decision: bool) -> bool:
        """Whether any process decides so."""
        return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._give_back_handlers()
            signal.raise_signal(number)
        self._signal = number
        _say(f"{signal.Signals(number).name}: the run stops after this step; once more stops it at once")

    def _give_back_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


_say: Callable[[str], None] = rank_zero_only(lambda message: print(message, flush=True))


def between_steps(checkpoint: dict[str, Any]) -> None:
    """Make the counters of a checkpoint that was taken at the start of a step those of the end of the step before.

    Lightning counts a batch as ready, and the loader as handed out, before the hook that saves.
    """
    fit = checkpoint["loops"]["fit_loop"]
    progress = fit["epoch_loop.batch_progress"]
    if progress["current"]["ready"] == progress["current"]["started"] + 1:
        for count in (progress["current"], progress["total"]):
            count["ready"] -= 1
        progress["is_last_batch"] = False
        for loader in fit["state_dict"].get("combined_loader", []):
            loader["batch"] -= 1


def _validated_before(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a validation inside the epoch has just ended: Lightning would count this step twice on resuming."""
    every = trainer.val_check_batch
    return isinstance(every, int) and every > 0 and batch_idx % every == 0


def _slurm_requeues(trainer: pl.Trainer) -> bool:
    """Whether Lightning answers SLURM's signals, by saving and queueing the job again."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return isinstance(environment, SLURMEnvironment) and environment.auto_requeue
