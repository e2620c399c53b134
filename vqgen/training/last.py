"""`last.ckpt`: the state of a run, from which it is resumed at any step as if it had not been interrupted."""

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from vqgen.environment.launcher import slurm_job
from vqgen.environment.signals import AGAIN, asked, listen
from vqgen.errors import ConfigError, Interruption, QuietInterruption, command
from vqgen.plain import PlainDict
from vqgen.training.processes import on_any_rank


class Last(Checkpoint):
    """Writes `last.ckpt` at the end of every epoch, after every so many steps or minutes, and when asked to stop.

    The file before it is kept as `previous.ckpt`. SIGTERM, SIGINT (Ctrl-C) or SIGHUP (the terminal is closed) stops the
    run after the step in hand; SIGUSR1 under SLURM does, and queues the job again. A checkpoint inside an epoch is
    written when the next batch is there, as all that belongs to the step before has then been logged.

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
        self.path = Path(dirpath, "last.ckpt")
        self._saved_step, self._saved_at = 0, time.monotonic()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Raise ConfigError where another callback would write to the files of this one, and each undo the other's."""
        for other in trainer.checkpoint_callbacks:
            name, folder = getattr(other, "filename", None), getattr(other, "dirpath", None)
            if name in ("last", "previous") and folder and Path(folder).resolve() == Path(self.dirpath).resolve():
                raise ConfigError(
                    f"filename={name} of {type(other).__name__}: '{name}.ckpt' is what the run goes on from; take best"
                )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals, and count from here."""
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        _listen(trainer)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals."""
        _listen(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Save before the step where it is time, and stop where that is asked for."""
        if batch_idx and (batch_idx % trainer.accumulate_grad_batches or _validated_before(trainer, batch_idx)):
            return
        stop = on_any_rank(trainer, asked() is not None)
        if batch_idx and (stop or self._due(trainer)):  # the first batch's state was saved by the epoch before
            self._save(trainer)
        if stop:
            self._stop(trainer, f"at step {trainer.global_step}")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have the last epoch validated, whatever `check_val_every_n_epoch` says: a run ends with its figures."""
        if trainer.current_epoch + 1 == trainer.max_epochs and trainer.check_val_every_n_epoch:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Have the last of `max_steps` steps validated, as Lightning does where it is asked to stop and not there."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop, trainer.fit_loop.min_epochs = True, 0
            if trainer.check_val_every_n_epoch:
                trainer.check_val_every_n_epoch = 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and stop where that is asked for."""
        self._save(trainer)
        if on_any_rank(trainer, asked() is not None):
            self._stop(trainer, f"at step {trainer.global_step}")

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stop where that is asked for: the training is saved."""
        if on_any_rank(trainer, asked() is not None):
            self._stop(trainer, "before the test was over")

    def _due(self, trainer: pl.Trainer) -> bool:
        by_step = self.every_n_steps and trainer.global_step >= self._saved_step + self.every_n_steps
        minutes = (time.monotonic() - self._saved_at) / 60
        by_time = self.every_n_minutes and on_any_rank(trainer, minutes >= self.every_n_minutes)
        return bool(by_step or by_time)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return  # a trial leaves nothing, as with Lightning's own checkpoints
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        trainer.save_checkpoint(self.path, weights_only=False)

    def _stop(self, trainer: pl.Trainer, when: str) -> None:
        """Raise Interruption; under SLURM the job is queued again first where SIGUSR1 asked for it."""
        queued = on_any_rank(trainer, asked() == AGAIN) and _queue_again(trainer)
        if not trainer.is_global_zero:
            raise QuietInterruption("")
        name = signal.Signals(number).name if (number := asked()) else "a signal to another process"
        saved = f"saved in '{self.path}'" if self.path.exists() else "nothing was saved yet"
        again = command("train", resume=self.path.parent.parent)
        then = "the job is queued again" if queued else f"go on with: {again}"
        raise Interruption(f"by {name} {when}, {saved}; {then}")


def _listen(trainer: pl.Trainer) -> None:
    listen(getattr(trainer.strategy.launcher, "kill", None))


def _queue_again(trainer: pl.Trainer) -> bool:
    """Have rank 0 ask SLURM to start this job again; whether it will.

    Lightning's own answer to the signal would save in the middle of a step, when other processes are elsewhere.
    """
    done = False
    if trainer.is_global_zero:
        with suppress(OSError):
            done = subprocess.run(["scontrol", "requeue", str(slurm_job())], check=False).returncode == 0
    return on_any_rank(trainer, done)


def between_steps(checkpoint: PlainDict) -> None:
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


def ends_an_epoch(checkpoint: PlainDict) -> bool:
    """Whether a checkpoint was taken at the end of an epoch, which is then counted as completed."""
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
    ended: bool = epochs["total"]["ready"] == epochs["total"]["processed"] == epochs["total"]["completed"] + 1
    for count in epochs.values() if ended else ():
        count["completed"] += 1
    return ended


def _validated_before(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a validation inside the epoch has just ended: Lightning would count this step twice on resuming."""
    every = trainer.val_check_batch
    return isinstance(every, int) and every > 0 and batch_idx % every == 0
