"""What is minimised: losses by name, and their weighted sum."""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vqgen.errors import near_miss


class Objective(NamedTuple):
    """A loss to minimise, the losses that it is made of, and what is known beside them.

    `losses` are as they are, without weights; `figures` are measured only, and no part of the loss. Each is logged
    under its own name. `outputs` are tensors that the players after this one are given, without gradient.
    """

    loss: Float[Tensor, ""]
    losses: Mapping[str, Float[Tensor, ""]]
    figures: Mapping[str, Tensor] = {}
    outputs: Mapping[str, Tensor] = {}

    def plus(self, losses: Mapping[str, Tensor], weights: Mapping[str, float | Tensor]) -> "Objective":
        """This objective, and further losses with their weights."""
        if not losses:
            return self
        added = weighted(losses, weights)
        return self._replace(loss=self.loss + added.loss, losses={**self.losses, **added.losses})

    @property
    def terms(self) -> dict[str, Tensor]:
        """All that is logged, by name."""
        return {"loss": self.loss, **self.losses, **self.figures}


def weighted(
    losses: Mapping[str, Tensor],
    weights: Mapping[str, float | Tensor],
    figures: Mapping[str, Tensor] = {},
    outputs: Mapping[str, Tensor] = {},
) -> Objective:
    """The objective whose loss is the weighted sum of `losses`; a loss without a weight counts once.

    With losses {"recon_loss": 2, "commitment_loss": 4} and weights {"commitment_loss": 0.25} it is 2 + 0.25 * 4 = 3.

    Raises:
        ValueError: a weight is of no loss.
    """
    for name in weights.keys() - losses.keys():
        raise ValueError(f"a weight of {name}={weights[name]}: there is no such loss{near_miss(name, losses)}")
    counted = [weights.get(name, 1.0) * loss for name, loss in losses.items()]
    return Objective(reduce(add, counted), losses, figures, outputs)
