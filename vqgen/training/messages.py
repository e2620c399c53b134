"""What a training prints beside its progress: Lightning's notes without noise, and the results at the end."""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

from vqgen.errors import command, format_number
from vqgen.protocols import Tokenizer, priors_of, usual_prior

_WARNINGS = (
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*TreeSpec.*",
    ".*is not empty.*",
    ".*overridden `on_before_batch_transfer` in `LightningModule`.*",  # where a prior checks labels, and no data does
)
_NOTES = ("litlogger", "TPU available", "estimate number of stepping batches")


def quiet() -> None:
    """Leave out warnings and notes that tell the user nothing to act on."""
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message)
    for name in ("pytorch_lightning", "lightning_fabric"):  # whose notes go where Hydra's logging puts them
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(_is_of_use)
    logging.getLogger("pytorch_lightning.callbacks.model_summary").addFilter(_without_flops)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _NOTES)


def _without_flops(record: logging.LogRecord) -> bool:
    """Lightning counts FLOPs by an example input, which our models do not have, and would print that there are none."""
    record.msg = re.sub(r"\n0 +Total Flops", "", str(record.msg))
    return True


@contextmanager
def silence() -> Iterator[None]:
    """Without what Lightning reports of a trainer, or of a training, that is thrown away."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def tell_results(model: pl.LightningModule, results: Mapping[str, float], folder: str) -> None:
    """Print where the run is, what the test measured, and the next command."""
    rank_zero_info(f"\nRun folder: {folder}   (pictures in images/, every figure in metrics.csv)")
    figures = [f"{key.removeprefix('test/')} {format_number(value)}" for key, value in results.items()]
    rank_zero_info("Test: " + "  ".join(figures))
    if isinstance(model, Tokenizer):
        rank_zero_info(f"Next: {command('train', f'model={usual_prior(model)}', tokenizer=folder)}")
    elif priors_of(model):
        rank_zero_info(f"Next: {command('sample', run=folder)}")


def tell_no_step(trainer: pl.Trainer, step: int) -> None:
    """Warn where a run that was to go on from `step` has stopped there, with steps left to make."""
    if trainer.global_step == step < trainer.max_steps:
        rank_zero_warn(
            f"no step was made, as the trainer.max_epochs={trainer.max_epochs} epochs are over: the run had ended "
            f"within the last one, at step {step}; raise that too, for trainer.max_steps={trainer.max_steps}"
        )


def tell_no_best(trainer: pl.Trainer, folder: str) -> None:
    """Print where the run is, and why there is nothing to test."""
    reason = "callbacks.best has kept nothing"
    if not any(key.startswith("val/") for key in trainer.callback_metrics):
        reason = "ended before its first validation"
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        reason = "trainer.fast_dev_run keeps nothing"
    rank_zero_info(f"\nRun folder: {folder}   ({reason}: no best.ckpt, no test)")
