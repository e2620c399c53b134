"""When callbacks do what they do every few epochs."""

import pytorch_lightning as pl


def is_due(trainer: pl.Trainer, every_n_epochs: int, at_first: bool) -> bool:
    """Whether this validation is the first since another `every_n_epochs` are over, or the last of the training.

    Args:
        trainer: at the end of a validation, which may come in some epochs only (`check_val_every_n_epoch`).
        every_n_epochs: epochs between two turns.
        at_first: whether the first validation is one, too.
    """
    epoch = trainer.current_epoch + 1
    before = epoch - (trainer.check_val_every_n_epoch or 1)
    last = epoch == trainer.max_epochs or 0 < trainer.max_steps <= trainer.global_step
    return last or epoch // every_n_epochs > before // every_n_epochs or (at_first and before <= 0)
