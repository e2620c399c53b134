"""Exact evaluation of a causal network one position after another, each activation computed once.

A network writes its mathematics once, as a function of ``run``: ``run(layer, x)`` is the layer's result. With
`Parallel` it is computed for the whole map, with `Positions` for the current position from the layer's state,
with `Rows` for the current row. Everything else a network does is the same for both: functions of single
positions, whose channels stand in axis 1 of ``b c h w`` and of ``b c`` alike.

Before a row starts, what the rows above and the condition add to it is known, and each layer folds it in one
convolution. What remains for a position is a small matrix product with the inputs left of it.

States hold buffers of fixed size at fixed addresses: a step at a column does the same work in every row.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.product import RowConvolution, product

Run = Callable[..., Tensor]
"""Gives a layer's result: ``run(layer, x)``."""

Contexts = Mapping[Any, Tensor]
"""For each layer that takes a condition, the map it takes."""


class LayerState(ABC):
    """What a layer keeps between positions."""

    @abstractmethod
    def begin_row(self, context: Float[Tensor, "_ e 1 _"] | None) -> None:
        """Fold what is known before the row: the rows above, and the row of the layer's condition."""

    @abstractmethod
    def step(self, column: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The layer's result at a column, from its input there and what it has seen."""


class Stepwise(nn.Module, ABC):
    """A layer that can be evaluated position by position as well."""

    @abstractmethod
    def start(self, num_samples: int, grid: Sequence[int]) -> LayerState:
        """The state before the first row."""


class Parallel:
    """Runs layers on whole maps."""

    def __init__(self, contexts: Contexts):
        self.contexts = contexts

    def __call__(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The layer's result at all positions."""
        context = self.contexts.get(layer)
        return layer(x) if context is None else layer(x, context)


class Positions:
    """Runs layers at one position, `column` of the row last begun."""

    def __init__(self, layers: Iterable[nn.Module], num_samples: int, grid: Sequence[int]):
        stepwise = (layer for layer in layers if isinstance(layer, Stepwise))
        self.states: dict[Any, LayerState] = {layer: layer.start(num_samples, grid) for layer in stepwise}
        self.column = 0

    def begin_row(self, contexts: Contexts) -> None:
        """Fold, in every layer, what is known before the row."""
        self.column = 0
        for layer, state in self.states.items():
            state.begin_row(contexts.get(layer))

    def __call__(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The layer's result at the current position."""
        return self.states[layer].step(self.column, x)


class Rows:
    """Runs layers of a vertical stack on one row; their inputs are ``b c 1 w``."""

    def __init__(self, layers: Iterable[Any], num_samples: int, grid: Sequence[int]):
        self.states = {layer: RowState(layer, num_samples, grid) for layer in layers}
        self.contexts: Contexts = {}

    def __call__(self, layer: nn.Module, row: Tensor) -> Tensor:
        """The layer's result in the current row."""
        return self.states[layer].step(row, self.contexts.get(layer))


class Incremental(ABC):
    """A network in the course of a map: ask for `logits`, then `push` the codes drawn from them, and again.

    Args:
        grid: height and width of the map.
    """

    def __init__(self, grid: Sequence[int]):
        self.height, self.width = grid
        self.row, self.column = -1, self.width

    def logits(self) -> Float[Tensor, "b k"]:
        """Logits of the next code, from the codes pushed so far."""
        if self.column == self.width:
            self.row, self.column = self.row + 1, 0
            self.begin_row()
        return self.step()

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


def row_of(condition: Float[Tensor, "b e h w"] | None, row: int) -> Float[Tensor, "b e 1 w"] | None:
    """One row of a condition map, or all of a 1x1 map."""
    if condition is None or condition.shape[2] == 1:
        return condition
    return condition[:, :, row : row + 1]


class ConvState(LayerState):
    """Line buffers of a causal convolution: the rows above, the own row so far, and the folded row.

    Args:
        layer: a `vqgen.nn.causal.RasterConv2d` that sees its own row up to a position.
    """

    def __init__(self, layer: Any, num_samples: int, grid: Sequence[int]):
        self.layer, self.product = layer, product(layer.own_matrix, num_samples)
        width, reach, size = grid[1], layer.columns // 2, layer.in_channels
        padded = width + 2 * reach
        self.above = layer.bias.new_zeros(num_samples, layer.rows_above, padded, size)
        self.fold = RowConvolution(layer.above_taps, layer.bias, layer.columns, num_samples * width)
        self.folded = layer.bias.new_zeros(num_samples, width, layer.out_channels)
        self.sums = self.folded.unbind(1)
        self.line = layer.bias.new_zeros(num_samples, padded, size)
        self.cells = self.line[:, reach : reach + width].unbind(1)
        flat, reads = self.line.flatten(1), layer.own_taps * size
        self.windows = [flat[:, x * size : x * size + reads] for x in range(width)]
        self.rows_seen = -1

    def begin_row(self, context: Float[Tensor, "_ e 1 _"] | None) -> None:
        """Move the finished row up, and fold the rows above and the condition."""
        self.rows_seen += 1
        if self.rows_seen:
            push_row(self.above, self.line)
        outside = max(0, self.above.shape[1] - self.rows_seen)
        self.folded.copy_(self.fold(self.above[:, outside:]))
        if context is not None:
            self.folded += self.layer.project_row(context)

    def step(self, column: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Enter the input at a column and give the result there."""
        self.cells[column].copy_(x)
        return self.product.add(self.sums[column], self.windows[column])

    def read(self, column: int) -> Float[Tensor, "b o"]:
        """The result at a column, of a layer that does not see its own position."""
        return self.product.add(self.sums[column], self.windows[column])

    def write(self, column: int, x: Float[Tensor, "b i"]) -> None:
        """Enter the input at a column."""
        self.cells[column].copy_(x)


class PointwiseState(LayerState):
    """A 1x1 convolution keeps nothing but what the condition adds in the row."""

    def __init__(self, layer: Any, num_samples: int, grid: Sequence[int]):
        self.layer, self.product = layer, product(layer.own_matrix, num_samples)
        self.folded = layer.bias.new_zeros(num_samples, grid[1], layer.out_channels)
        self.sums = self.folded.unbind(1)

    def begin_row(self, context: Float[Tensor, "_ e 1 _"] | None) -> None:
        """Fold the condition and the bias."""
        if context is not None:
            self.folded.copy_(self.layer.bias + self.layer.project_row(context))

    def step(self, column: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The result at a column."""
        if self.layer.project is None:
            return self.product.linear(x, self.layer.bias)
        return self.product.add(self.sums[column], x)


class RowState:
    """The last rows that a convolution of a vertical stack has seen."""

    def __init__(self, layer: Any, num_samples: int, grid: Sequence[int]):
        self.layer, self.reach = layer, layer.columns // 2
        shape = (num_samples, layer.num_taps // layer.columns, grid[1] + 2 * self.reach, layer.in_channels)
        self.seen = layer.bias.new_zeros(shape)
        self.convolve = RowConvolution(layer.taps, layer.bias, layer.columns, num_samples * grid[1])

    def step(self, row: Float[Tensor, "b i 1 w"], context: Float[Tensor, "_ e _ _"] | None) -> Float[Tensor, "b o 1 w"]:
        """The layer's result from the last row it sees and those entered before."""
        push_row(self.seen, F.pad(row.squeeze(2).transpose(1, 2), (0, 0, self.reach, self.reach)))
        result = self.convolve(self.seen)
        if context is not None:
            result = result + self.layer.project_row(context)
        return result.transpose(1, 2).unsqueeze(2)


def push_row(rows: Float[Tensor, "b r w i"], line: Float[Tensor, "b w i"]) -> None:
    """Move the rows up by one and enter the line as the last."""
    for i in range(rows.shape[1] - 1):
        rows[:, i].copy_(rows[:, i + 1])
    if rows.shape[1]:
        rows[:, -1].copy_(line)
