"""The measures of task=evaluate, taken while a model trains."""

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from vqgen.devices import fork_rng
from vqgen.environment.compat import logged_step
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.evaluate import Evaluate
from vqgen.training.processes import on_rank_zero
from vqgen.training.turns import is_due


class Evaluation(pl.Callback):
    """Evaluates after every n-th epoch and the last one, into the logs and `evaluation/epoch_N` of the run folder.

    Rank 0 measures, and the others wait, at most half an hour: give a task that takes longer fewer samples.

    Args:
        trained: makes of the model in training what a task takes (filled in by the run).
        task: which measures, of which split, by which classifier.
        every_n_epochs: epochs between evaluations, at least 1.
    """

    def __init__(
        self, trained: Callable[[pl.LightningModule], TrainedRun], task: Evaluate, every_n_epochs: int = 10
    ) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"{every_n_epochs=} must be at least 1")
        self.trained, self.task, self.every_n_epochs = trained, task, every_n_epochs

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise UserError now for what could not be measured hours later."""
        self.task.check(self.trained(pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, write and log, leaving the random numbers of the training as they are."""
        if trainer.sanity_checking or not is_due(trainer, self.every_n_epochs, at_first=False):
            return
        if (model := on_rank_zero(trainer, pl_module)) is not None:
            self._evaluate(trainer, model)

    def _evaluate(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        with fork_rng(model.device):
            outcome = self.task(self.trained(model))
        outcome.write(Path(trainer.default_root_dir, "evaluation", f"epoch_{trainer.current_epoch + 1:04d}"))
        for logger in trainer.loggers:
            logger.log_metrics(outcome.metrics, step=logged_step(trainer))
