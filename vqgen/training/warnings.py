"""Warnings of a collapsed codebook, of constant codes and of over-fitting."""

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.errors import format_number
from vqgen.nn.distributed import mean_over_ranks
from vqgen.plain import PlainDict
from vqgen.training.divergence import loss_of


class CollapseWarning(pl.Callback):
    """Warns when hardly any of a codebook is in use over the validation split.

    Args:
        min_usage: part of the codes that must be in use, 0 to 1.
    """

    def __init__(self, min_usage: float = 0.1) -> None:
        self.min_usage = min_usage

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the usage of every level."""
        for key, value in trainer.callback_metrics.items():
            if not trainer.sanity_checking and key.startswith("val/codebook_usage") and value < self.min_usage:
                rank_zero_warn(
                    f"{key} is {value:.1%}: the codebook has nearly collapsed, and a prior on these codes would learn "
                    "nothing; try a lower learning rate, fewer codes, or another model/quantizer= (ema, cosine and "
                    "rotation renew codes that are not used, more of them with a larger model.quantizer.revive_below)"
                )


class CollapsedCodesWarning(pl.Callback):
    """Warns when the codes that a prior learns are nearly constant: a tokenizer that has collapsed.

    Args:
        min_entropy: of the codes, each by itself, in nats per code; that of K codes all in use is up to log K.
    """

    def __init__(self, min_entropy: float = 0.1) -> None:
        self.min_entropy = min_entropy

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the entropy of the validation codes."""
        entropy = trainer.callback_metrics["val/code_entropy"]
        if not trainer.sanity_checking and entropy < self.min_entropy:
            rank_zero_warn(
                f"val/code_entropy is {entropy:.3f} nats: nearly all codes are the same, the tokenizer has collapsed, "
                "and samples will all look alike; train a tokenizer with a higher codebook usage first"
            )


class OverfittingWarning(pl.Callback):
    """Warns when the validation loss rises while the training loss falls.

    Args:
        margin: how far the validation loss must be above its best, as a part of it.
    """

    def __init__(self, margin: float = 0.02) -> None:
        self.margin = margin
        self.best = {"val": float("inf"), "train": float("inf")}
        self._total, self._steps = 0.0, 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the sum."""
        self._total, self._steps = 0.0, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Add the loss of the batch of all ranks."""
        self._total = self._total + mean_over_ranks(loss_of(outputs, trainer), 1)
        self._steps += 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best epoch so far."""
        if trainer.sanity_checking or not self._steps:
            return
        now = {"val": float(trainer.callback_metrics["val/loss"]), "train": float(self._total / self._steps)}
        best = self.best
        if now["val"] < best["val"]:
            self.best = now
        elif now["val"] > (1 + self.margin) * best["val"] and now["train"] < best["train"]:
            rank_zero_warn(
                f"over-fitting: val/loss is {format_number(now['val'])} after a best of {format_number(best['val'])}, "
                f"and train/loss fell from {format_number(best['train'])} to {format_number(now['train'])}; best.ckpt "
                "keeps the best weights; more dropout (model.network.dropout), a smaller network or more data help"
            )

    def state_dict(self) -> PlainDict:
        """The best epoch so far, and the sum of this one."""
        return {"best": self.best, "total": float(self._total), "steps": self._steps}

    def load_state_dict(self, state_dict: PlainDict) -> None:
        """Restore the best epoch, and the sum of the epoch that was interrupted."""
        self.best, self._total, self._steps = state_dict["best"], state_dict["total"], state_dict["steps"]
