"""Moving averages of the weights, for validation and sampling."""

from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Shaped
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from vqgen.environment.compat import average_model
from vqgen.nn.quantize import Quantizer


class AveragedWeights(WeightAveraging):
    """Validates, and saves as the model's weights, an exponential moving average over the optimiser's steps.

    It runs after the other callbacks, so that what they draw and measure at the end of a validation is of the average.
    The decay is at most (1 + t) / (10 + t) after t steps, so that the average forgets the first weights.

    Args:
        decay: of the average, in [0, 1); 0.999 follows about the last 1,000 steps, 0.9999 the last 10,000.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"{decay=} must be in [0, 1); 0.999 is usual")
        self.decay = decay
        super().__init__(avg_fn=self._average)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        """Average after an optimiser step, and project averaged code vectors to where code vectors belong."""
        before = self.state_dict()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.state_dict() != before:  # an update
            for module in average_model(self).modules():
                if isinstance(module, Quantizer):
                    module.put_back()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the averages in the model: other callbacks look at it in `on_validation_end`."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the weights that are being trained."""
        super().on_validation_epoch_end(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with the weights that were trained, where training goes on; a test is of the averages."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def _average(
        self, averaged: Shaped[Tensor, "*n"], current: Shaped[Tensor, "*n"], steps: Tensor
    ) -> Shaped[Tensor, "*n"]:
        """The next average; integers (counts, masks) are copied."""
        if not torch.is_floating_point(averaged):
            return current
        return averaged.lerp(current, 1 - min(self.decay, (1 + int(steps)) / (10 + int(steps))))
