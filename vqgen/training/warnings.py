"""Warnings in words: a collapsed codebook, constant codes, over-fitting."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.nn.distributed import mean_over_ranks


class CollapseWarning(pl.Callback):
    """Says in words when hardly any of a codebook is in use over the validation split.

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
                    "nothing; try a larger model.quantizer.revive_below, a lower learning rate, or fewer codes"
                )


class CollapsedCodesWarning(pl.Callback):
    """Says in words when the codes that a prior learns are nearly constant: a tokenizer that has collapsed.

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
    """Says in words when the validation loss rises while the training loss falls.

    Args:
        margin: how far the validation loss must be above its best, as a part of it.
    """

    def __init__(self, margin: float = 0.02) -> None:
        self.margin = margin
        self.best = {"val": float("inf"), "train": float("inf")}
        self._total, self._steps = 0.0, 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sum anew."""
        self._total, self._steps = 0.0, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss of the batch of all ranks; Lightning hands it divided by the micro-batches of a step."""
        loss = mean_over_ranks(outputs["loss"].detach(), 1) * trainer.accumulate_grad_batches
        self._total, self._steps = self._total + loss, self._steps + 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best epoch so far."""
        if trainer.sanity_checking or not self._steps:
            return
        now = {"val": float(trainer.callback_metrics["val/loss"]), "train": float(self._total / self._steps)}
        if now["val"] < self.best["val"]:
            self.best = now
        elif now["val"] > (1 + self.margin) * self.best["val"] and now["train"] < self.best["train"]:
            rank_zero_warn(
                f"over-fitting: val/loss is {now['val']:.4g} after a best of {self.best['val']:.4g}, and train/loss "
                f"fell from {self.best['train']:.4g} to {now['train']:.4g}; best.ckpt keeps the best weights; more "
                "dropout (model.network.dropout), a smaller network or more data would help"
            )

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far, and the sum of this one."""
        return {"best": self.best, "total": float(self._total), "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best epoch of the interrupted run, in the middle of its last."""
        self.best, self._total, self._steps = state_dict["best"], state_dict["total"], state_dict["steps"]
