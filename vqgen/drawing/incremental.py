"""The interface of networks in the course of a map, for drawing one code after another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.precision import at_least_float32


class Incremental(ABC):
    """A network in the course of a map of (height, width): ask for `logits`, `push` the codes drawn, and again."""

    def __init__(self, grid: Sequence[int]):
        self.height, self.width = grid
        self.row, self.column = -1, self.width

    @property
    def position(self) -> int:
        """Number of the current position in raster order."""
        return self.row * self.width + self.column

    def logits(self) -> Float[Tensor, "b k"]:
        """Logits of the next code, from the codes pushed so far: in float32, of a network in bfloat16 too."""
        if self.column == self.width:
            self.row, self.column = self.row + 1, 0
            self.begin_row()
        return at_least_float32(self.step())

    def push(self, codes: Int[Tensor, " b"]) -> None:
        """Fix the codes of the position whose logits were asked for."""
        self.take(codes)
        self.column += 1

    @abstractmethod
    def begin_row(self) -> None:
        """Prepare row `row`, with all rows above it complete."""

    @abstractmethod
    def step(self) -> Float[Tensor, "b k"]:
        """Logits at `column` of the row, with all columns left of it taken."""

    @abstractmethod
    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of `column`."""


class Recompute(Incremental):
    """A causal network without a stepwise twin: each position takes a forward pass over the whole map."""

    def __init__(
        self, network: nn.Module, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ):
        super().__init__(grid)
        self.network, self.condition = network, condition
        device = next(parameter.device for parameter in network.parameters())
        self.codes = torch.zeros(num_samples, *grid, dtype=torch.long, device=device)

    def begin_row(self) -> None:
        """Nothing is kept of rows."""

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        return self.network(self.codes, self.condition)[:, :, self.row, self.column]

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        self.codes[:, self.row, self.column] = codes


Begin = Callable[[nn.Module, int, Sequence[int], Float[Tensor, "_ e _ _"] | None], Incremental]

_TWINS: dict[type[nn.Module], Begin] = {}


def twin_of(network: type[nn.Module]) -> Callable[[type[Incremental]], type[Incremental]]:
    """Make a class the stepwise twin of a network, not of its subclasses: `begin` takes it, not `Recompute`."""

    def register(twin: type[Incremental]) -> type[Incremental]:
        _TWINS[network] = twin
        return twin

    return register


def begin(
    network: nn.Module, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None = None
) -> Incremental:
    """A network before the first position, for evaluation one code after another, without gradients.

    `network` goes from codes and a condition map (of each sample, or one for all) to logits, each from the codes before
    it; it is in evaluation mode. `num_samples` maps of `grid` = (height, width) are drawn at a time.
    """
    return _TWINS.get(type(network), Recompute)(network, num_samples, grid, condition)
