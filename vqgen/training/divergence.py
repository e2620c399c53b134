"""Stops a run whose loss is NaN or infinite, and names the step and the batch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from vqgen.batch import CodeBatch, ImageBatch
from vqgen.errors import UserError, command, listed
from vqgen.nn.distributed import of_all_ranks
from vqgen.training.processes import on_any_rank

_REMEDIES = (
    "A lower optim.lr, trainer.gradient_clip_val=1.0 or hardware.precision=32-true often helps; "
    "trainer.detect_anomaly=true shows the operation"
)


class DivergenceError(UserError):
    """The loss or a weight became NaN or infinite."""


class _Step(NamedTuple):
    """A step: its number from 0, its loss, the images of its batch, and the terms of the loss."""

    number: int
    loss: Tensor
    images: Tensor
    terms: Mapping[str, Tensor]


class Divergence(pl.Callback):
    """Raises `DivergenceError` when a loss or a weight is NaN or infinite.

    Training losses are looked at every so many steps; they and the weights before any checkpoint is written and at the
    end of training, and the validation loss after every validation: weights that are finite but huge show there first.

    Args:
        dirpath: folder of the checkpoints, for the message.
        every_n_steps: steps between two looks at the losses; each look waits for the device.
    """

    def __init__(self, dirpath: str, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise ValueError(f"{every_n_steps=} must be at least 1")
        self.dirpath, self.every_n_steps = dirpath, every_n_steps
        self._steps: list[_Step] = []  # since the last look

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: ImageBatch | CodeBatch,
        batch_idx: int,
    ) -> None:
        """Note the loss, and look at those since the last look where it is time."""
        loss, terms = loss_of(outputs, trainer), getattr(pl_module, "terms", {})
        self._steps.append(_Step(trainer.fit_loop.total_batch_idx, loss, batch.index, terms))
        if len(self._steps) >= self.every_n_steps:
            self._check_losses(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Refuse to save weights that are not finite, or come from such a loss."""
        self._check_all(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the validation loss, after the losses that led to it."""
        if trainer.sanity_checking or "val/loss" not in trainer.callback_metrics:
            return
        self._check_losses(trainer)
        loss = float(trainer.callback_metrics["val/loss"])
        if on_any_rank(trainer, not math.isfinite(loss)):
            raise self._error(f"val/loss is {loss} after step {trainer.global_step}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the last steps."""
        self._check_all(trainer, pl_module)

    def _check_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_losses(trainer)
        state = {name: _own(tensor) for name, tensor in pl_module.state_dict().items() if tensor.is_floating_point()}
        finite = torch.stack([tensor.isfinite().all() for tensor in state.values()]).tolist() if state else []
        bad = [name for name, good in zip(state, finite, strict=True) if not good]
        if on_any_rank(trainer, bool(bad)):
            first = f", first {bad[0]}" if bad else ""
            raise self._error(f"there are weights not finite after step {trainer.global_step}{first}")

    def _check_losses(self, trainer: pl.Trainer) -> None:
        steps, self._steps = self._steps, []
        if not steps:
            return
        finite = torch.stack([step.loss for step in steps]).isfinite().tolist()
        mine = next((step for step, good in zip(steps, finite, strict=True) if not good), None)
        if on_any_rank(trainer, mine is not None):
            raise self._error(_first_loss(trainer, mine))

    def _error(self, what: str) -> DivergenceError:
        last, advice = Path(self.dirpath, "last.ckpt"), "no checkpoint had been written."
        if last.exists():
            again = command("train", resume=Path(self.dirpath).parent)
            advice = f"'{last}' is from before it: {again} optim.lr=VALUE."
        return DivergenceError(f"{what}; {advice} {_REMEDIES}")


def _own(tensor: Tensor) -> Tensor:
    """This process's part of a weight."""
    return getattr(tensor, "to_local", lambda: tensor)()


def loss_of(outputs: object, trainer: pl.Trainer) -> Tensor:
    """The loss of a training step, which Lightning hands to callbacks divided by the micro-batches of a step."""
    assert isinstance(outputs, Mapping)
    return outputs["loss"].detach() * trainer.accumulate_grad_batches


def _first_loss(trainer: pl.Trainer, mine: _Step | None) -> str:
    """The first bad loss of all ranks, its terms and images; every rank knows it, as only one prints it."""
    plain = mine and (mine.number, float(mine.loss), mine.images.tolist(), _not_finite(mine.terms))
    number, loss, images, terms = min(filter(None, of_all_ranks(plain)), key=lambda step: step[0])
    names = trainer.datamodule.names("train", images)  # type: ignore[attr-defined]
    which = f" ({', '.join(terms)})" if terms else ""
    return f"the loss is {loss}{which} at step {number}, with the images {listed(names, 8)}"


def _not_finite(terms: Mapping[str, Tensor]) -> list[str]:
    """The terms that are NaN or infinite, with their values, without their sum."""
    values = {name: float(term) for name, term in terms.items() if name != "loss"}
    return [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
