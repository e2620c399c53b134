"""A trial of a search tells the validation loss of every epoch, and ends where those of others were better by then."""

from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from vqgen.environment.compat import optuna_trial
from vqgen.errors import Pruned
from vqgen.plain import PlainDict
from vqgen.sweeps.search import trial_study
from vqgen.training.processes import on_any_rank

if TYPE_CHECKING:
    from optuna.trial import Trial


class Pruning(pl.Callback):
    """Reports what the checkpoint callback monitors to the study at the end of every epoch with a validation.

    Where the study's pruner says so, the training ends as if that epoch were its last one. Rank 0 reports and asks.

    Args:
        trial: storage, study, number and pruner, as `vqgen.environment.launcher.trial` has them.
    """

    def __init__(self, trial: PlainDict) -> None:
        self._told, self._validated = trial, False
        self._trial: Trial | None = None
        self.pruned_after: int | None = None  # epochs

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the study."""
        if trainer.is_global_zero:
            self._trial = optuna_trial(trial_study(self._told), self._told["number"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that there is something to report."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and end the training where the trial is pruned; not at the end of the last epoch."""
        if not self._validated:
            return
        self._validated = False
        epoch = trainer.current_epoch + 1
        is_last = epoch == trainer.max_epochs or 0 < trainer.max_steps <= trainer.global_step
        if on_any_rank(trainer, self._is_pruned(trainer, epoch)) and not is_last:
            self.pruned_after, trainer.should_stop = epoch, True
            rank_zero_info(f"Pruned after epoch {epoch}")

    def _is_pruned(self, trainer: pl.Trainer, epoch: int) -> bool:
        monitor = getattr(trainer.checkpoint_callback, "monitor", None)
        value = trainer.callback_metrics.get(str(monitor))
        if self._trial is None or value is None:
            return False
        if epoch not in self._trial.study.trials[self._trial.number].intermediate_values:  # told before it was killed
            self._trial.report(float(value), epoch)
        return self._trial.should_prune()


def is_pruned(trainer: pl.Trainer) -> bool:
    """Whether the training was ended so."""
    return any(isinstance(one, Pruning) and one.pruned_after for one in _callbacks(trainer))


def raise_pruned(trainer: pl.Trainer) -> None:
    """Raise Pruned on rank 0 where the training was ended so."""
    for one in _callbacks(trainer):
        if isinstance(one, Pruning) and one.pruned_after and trainer.is_global_zero:
            best = getattr(trainer.checkpoint_callback, "best_model_score", None)
            raise Pruned(f"after epoch {one.pruned_after}", None if best is None else float(best))


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]
