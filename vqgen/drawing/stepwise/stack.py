"""What like layers of a network keep from one position to the next."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

Position = int | Int[Tensor, "1"]
"""Number of a position in raster order; a tensor where the same calls must serve at every position."""


class Stack:
    """What some like layers of a network keep between positions.

    Nothing that the layers take from before a position depends on one another's results there, so that it is
    computed for all of them at once.
    """

    def begin_row(self, contexts: Sequence[Float[Tensor, "_ e 1 _"] | None]) -> None:
        """Fold what is known before the row: the rows above, and the row of each layer's condition."""

    def begin(self, position: Position) -> None:
        """Fold what is known before the position: the columns left of it."""

    def step(self, k: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The result of layer `k` at the position last begun, from its input there and what it has seen."""
        raise NotImplementedError

    def end(self) -> None:
        """Keep the inputs of the position last begun, where those after it look for them."""
