"""Stops a run whose loss is no number any more, and says where and from which batch."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from vqgen.errors import UserError, command
from vqgen.nn.distributed import of_all_ranks
from vqgen.protocols import TellsTerms

_SHOWN = 8   # images of a batch named in the message
_REMEDIES = (
    "A lower optim.lr, trainer.gradient_clip_val=1.0 or hardware.precision=32-true often helps; "
    "trainer.detect_anomaly=true shows the operation"
)


class Diverged(UserError):
    """The loss became NaN or infinite."""


class _Seen(NamedTuple):
    """A step: its number from 0, its loss, the images of its batch, and the terms of the loss."""

    step: int
    loss: Tensor
    images: Tensor
    terms: Mapping[str, Tensor]


class Divergence(pl.Callback):
    """Raises `Diverged` when a loss or a weight is NaN or infinite.

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
        self._seen: list[_Seen] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss, and look at those since the last look where it is time."""
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
        terms = pl_module.terms if isinstance(pl_module, TellsTerms) else {}
        self._seen.append(_Seen(trainer.fit_loop.total_batch_idx, loss, batch.index, terms))
        if len(self._seen) >= self.every_n_steps:
            self._look(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to save what comes of a loss that is no number."""
        self._look_at_all(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the validation loss, after the losses that led to it."""
        if trainer.sanity_checking or "val/loss" not in trainer.callback_metrics:
            return
        self._look(trainer)
        loss = float(trainer.callback_metrics["val/loss"])
        if self._anywhere(trainer, not math.isfinite(loss)):
            raise Diverged(f"val/loss is {loss} after step {trainer.global_step}; {self._advice()} {_REMEDIES}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the last steps."""
        self._look_at_all(trainer, pl_module)

    def _look_at_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer)
        state = {name: tensor for name, tensor in pl_module.state_dict().items() if tensor.is_floating_point()}
        finite = torch.stack([tensor.isfinite().all() for tensor in state.values()]).tolist() if state else []
        bad = [name for name, good in zip(state, finite, strict=True) if not good]
        if self._anywhere(trainer, bool(bad)):
            where = f"after step {trainer.global_step}, first {bad[0]}" if bad else f"after step {trainer.global_step}"
            raise Diverged(f"there are weights not finite {where}; {self._advice()} {_REMEDIES}")

    def _anywhere(self, trainer: pl.Trainer, decision: bool) -> bool:
        """Whether any process decides so."""
        return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))

    def _look(self, trainer: pl.Trainer) -> None:
        seen, self._seen = self._seen, []
        if not seen:
            return
        finite = torch.stack([one.loss for one in seen]).isfinite().tolist()
        mine = next((one for one, good in zip(seen, finite, strict=True) if not good), None)
        if self._anywhere(trainer, mine is not None):
            raise Diverged(self._message(trainer, mine))

    def _message(self, trainer: pl.Trainer, mine: _Seen | None) -> str:
        """What the process whose loss was the first to go has seen; all know it, as only one of them tells it."""
        plain = mine and (mine.step, float(mine.loss), mine.images.tolist(), _not_finite(mine.terms))
        step, loss, images, terms = min(filter(None, of_all_ranks(plain)), key=lambda seen: seen[0])
        names = image_names(trainer, images)
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        which = f" ({', '.join(terms)})" if terms else ""
        return f"the loss is {loss}{which} at step {step}, with the images {shown}; {self._advice()} {_REMEDIES}"

    def _advice(self) -> str:
        folder = Path(self.dirpath)
        if (folder / "last.ckpt").exists():
            again = command("train", resume=folder.parent)
            return f"'{folder / 'last.ckpt'}' is from before it: {again} optim.lr=VALUE."
        return "no checkpoint had been written."


def _not_finite(terms: Mapping[str, Tensor]) -> list[str]:
    """The terms that are no numbers, with their values, but for the sum of them."""
    values = {name: float(term) for name, term in terms.items() if name != "loss"}
    return [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]


def image_names(trainer: pl.Trainer, index: Sequence[int]) -> list[str]:
    """File names of training images where they are files, otherwise their numbers."""
    data: Any = trainer.datamodule   # type: ignore[attr-defined]
    return data.names("train", index)
