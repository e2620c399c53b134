"""Stepwise evaluation of a scale, whose codes do not depend on each other: all logits are there before the first."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.drawing.incremental import Incremental, twin_of
from vqgen.nn.priors.scale_transformer import ScaleHead


@twin_of(ScaleHead)
class AtOnce(Incremental):
    """The logits of all positions, one after another."""

    def __init__(self, network: nn.Module, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e h w"]):
        super().__init__(grid)
        codes = condition.new_zeros(num_samples, *grid).long()
        self.all = network(codes, condition)

    def begin_row(self) -> None:
        """All rows are there."""

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        return self.all[:, :, self.row, self.column]

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """No logits depend on it."""
