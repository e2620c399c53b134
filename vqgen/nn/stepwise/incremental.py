"""Exact evaluation of a causal network one position after another, each activation computed once.

A network writes its mathematics once, as a function of ``run``: ``run(layer, x)`` is the layer's result. With
`Parallel` it is computed for the whole map, with `Positions` for the current position from the layer's state,
with `Rows` for the current row. Everything else a network does is the same for both: functions of single
positions, whose channels stand in axis 1 of ``b c h w`` and of ``b c`` alike.

Before a row starts, what the rows above and the condition add to it is known, and each layer folds it in one
convolution. Before a position, what the columns left of it add is known as well, and is one batched product for all
layers of a shape. What remains in a layer is a small matrix product with its input at the position itself.

For small maps the time goes to calling operations, not to arithmetic. So their calls are noted at the first position
and repeated: on a CPU from a `Tape`, on a GPU as a captured `Graph`, for which the position is a tensor as well.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.stepwise.graph import can_capture, captured
from vqgen.nn.stepwise.product import RowConvolution, threads_pay
from vqgen.nn.stepwise.tape import Tape

Run = Callable[..., Tensor]
"""Gives a layer's result: ``run(layer, x)``."""

Contexts = Mapping[Any, Tensor]
"""For each layer that takes a condition, the map it takes."""

Position = int | Int[Tensor, "1"]
"""Number of a position in raster order; a tensor where the same calls must serve at every position."""


class Stack(ABC):
    """What some like layers of a network keep between positions.

    Nothing that the layers take from before a position depends on one another's results there, so that it is
    computed for all of them at once.
    """

    @abstractmethod
    def begin_row(self, contexts: Sequence[Float[Tensor, "_ e 1 _"] | None]) -> None:
        """Fold what is known before the row: the rows above, and the row of each layer's condition."""

    @abstractmethod
    def begin(self, position: Position) -> None:
        """Fold what is known before the position: the columns left of it."""

    @abstractmethod
    def step(self, k: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The result of layer `k` at the position last begun, from its input there and what it has seen."""

    @abstractmethod
    def end(self) -> None:
        """Keep the inputs of the position last begun, where those after it look for them."""


class Stepwise(nn.Module, ABC):
    """A layer that can be evaluated position by position as well."""

    @abstractmethod
    def likeness(self) -> Hashable:
        """Equal for layers that go into one stack."""

    @abstractmethod
    def stack(self, layers: Sequence[Any], num_samples: int, grid: Sequence[int], by_tensor: bool) -> Stack:
        """The state of layers like this one before the first row; `by_tensor`: positions will be tensors."""


class Parallel:
    """Runs layers on whole maps."""

    def __init__(self, contexts: Contexts):
        self.contexts = contexts

    def __call__(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The layer's result at all positions."""
        context = self.contexts.get(layer)
        return layer(x) if context is None else layer(x, context)


class Positions:
    """Runs layers at one position, in the row last begun."""

    def __init__(self, layers: Sequence[nn.Module], num_samples: int, grid: Sequence[int]):
        like: dict[Hashable, list[Stepwise]] = {}
        for layer in layers:
            if isinstance(layer, Stepwise):
                like.setdefault(layer.likeness(), []).append(layer)
        device = next(p.device for layer in layers for p in layer.parameters())
        self.place = torch.zeros(1, dtype=torch.long, device=device) if can_capture(device) else None
        by_tensor = self.place is not None
        self.stacks = [(group[0].stack(group, num_samples, grid, by_tensor), group) for group in like.values()]
        self.steps: dict[Any, Callable[[Tensor], Tensor]] = {
            layer: partial(stack.step, k) for stack, group in self.stacks for k, layer in enumerate(group)
        }
        self.repeat: Callable[..., Tensor] | None = None
        weights = [layer.own_matrix.numel() for layer in self.steps if hasattr(layer, "own_matrix")]
        self.by_one_thread = not threads_pay(weights, num_samples)

    def begin_row(self, contexts: Contexts) -> None:
        """Fold, in every layer, what is known before the row."""
        for stack, layers in self.stacks:
            stack.begin_row([contexts.get(layer) for layer in layers])

    def __call__(self, body: Callable[..., Tensor], position: int, *inputs: Tensor) -> Tensor:
        """What ``body(run, *inputs)`` gives at a position; the first body given is the one for all positions."""
        if self.place is not None:
            return self._from_graph(self.place.fill_(position), body, *inputs)
        num_threads = torch.get_num_threads()
        if self.by_one_thread:
            torch.set_num_threads(1)
        try:
            for stack, _ in self.stacks:
                stack.begin(position)
            result = self._from_tape(body, *inputs)
            for stack, _ in self.stacks:
                stack.end()
            return result
        finally:
            torch.set_num_threads(num_threads)

    def _from_tape(self, body: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """What the body gives at the position begun; its calls are noted at the first."""
        if self.repeat is not None:
            return self.repeat(*inputs)

        def compute(tape: Tape, *inputs: Tensor) -> Tensor:
            return body(lambda layer, x: tape.call(self.steps[layer], x), *inputs)

        self.repeat = tape = Tape(compute, *inputs)
        return tape.first

    def _from_graph(self, place: Tensor, body: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """What the body gives at the position that stands in `place`; all of it is captured at the first."""

        def compute(*inputs: Tensor) -> Tensor:
            for stack, _ in self.stacks:
                stack.begin(place)
            result = body(lambda layer, x: self.steps[layer](x), *inputs)
            for stack, _ in self.stacks:
                stack.end()
            return result

        if self.repeat is None:
            self.repeat = captured(compute, *inputs)
        return self.repeat(*inputs)


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

    @property
    def position(self) -> int:
        """Number of the current position in raster order."""
        return self.row * self.width + self.column

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


def push_row(rows: Float[Tensor, "*n r w i"], line: Float[Tensor, "*n w i"]) -> None:
    """Move the rows up by one and enter the line as the last."""
    places = rows.unbind(-3)
    for place, below in zip(places, [*places[1:], line], strict=False):
        place.copy_(below)
