"""Moving averages of the weights, for validation and sampling."""

import torch
from jaxtyping import Shaped
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """Validates, and saves as the model's weights, a moving average over the optimiser's steps.

    The decay starts low, (1 + t) / (10 + t) after t steps, so that the average forgets the first weights.

    Args:
        decay: of the average, in [0, 1); 0.999 follows about the last 1,000 steps, 0.9999 the last 10,000.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"{decay=} must be in [0, 1); 0.999 is usual")
        self.decay = decay
        super().__init__(avg_fn=self._average)

    def _average(
        self, averaged: Shaped[Tensor, "*n"], current: Shaped[Tensor, "*n"], steps: Tensor
    ) -> Shaped[Tensor, "*n"]:
        """The next average; counts and masks are taken as they are."""
        if not torch.is_floating_point(averaged):
            return current
        return averaged.lerp(current, 1 - min(self.decay, (1 + int(steps)) / (10 + int(steps))))
