"""Exact evaluation of a causal network one position after another, each activation computed once.

The twin of a network says its equation again as a function of ``run``: ``run(layer, x)`` is the layer's result at the
current position, from what the layer has seen. Everything else is a function of single positions, whose channels stand
in axis 1 of ``b c``.

Before a row starts, what the rows above and the condition add to it is known, and each layer folds it in one
convolution. Before a position, what the columns left of it add is known as well, and is one batched product for all
layers of a shape. What remains in a layer is a small matrix product with its input at the position itself.

For small maps the time goes to calling operations, not to arithmetic. On a GPU their calls are captured at the first
position as a `Graph`, for which the position is a tensor, and repeated.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.drawing.stepwise.attention import attention_stack
from vqgen.drawing.stepwise.conv_stack import conv_stack, own_matrix
from vqgen.drawing.stepwise.graph import can_capture, captured
from vqgen.drawing.stepwise.product import threads_pay
from vqgen.drawing.stepwise.stack import Position, Stack
from vqgen.nn.priors.attention import CausalAttention
from vqgen.nn.priors.causal import RasterConv2d

RunLayer = Callable[[nn.Module, Tensor], Tensor]
"""Gives a layer's result: ``run(layer, x)``."""

Contexts = Mapping[nn.Module, Float[Tensor, "_ e 1 _"]]
"""For each layer that takes a condition, the row of it."""


class Positions:
    """Runs layers at one position, in the row last begun."""

    def __init__(self, layers: Sequence[nn.Module], num_samples: int, grid: Sequence[int]):
        like: dict[Hashable, list[RasterConv2d | CausalAttention]] = {}
        for layer in layers:
            if isinstance(layer, RasterConv2d | CausalAttention):
                like.setdefault(likeness(layer), []).append(layer)
        device = next(p.device for layer in layers for p in layer.parameters())
        self.place = torch.zeros(1, dtype=torch.long, device=device) if can_capture(device) else None
        by_tensor = self.place is not None
        self.stacks = [(stack_of(group, num_samples, grid, by_tensor), group) for group in like.values()]
        self.steps: dict[nn.Module, Callable[[Tensor], Tensor]] = {
            layer: partial(stack.step, k) for stack, group in self.stacks for k, layer in enumerate(group)
        }
        self.repeat: Callable[..., Tensor] | None = None
        weights = [own_matrix(layer).numel() for layer in self.steps if isinstance(layer, RasterConv2d)]
        self.by_one_thread = not threads_pay(weights, num_samples)

    def begin_row(self, contexts: Contexts) -> None:
        """Fold, in every layer, what is known before the row."""
        for stack, layers in self.stacks:
            stack.begin_row([contexts.get(layer) for layer in layers])

    def __call__(self, body: Callable[..., Tensor], position: int, *inputs: Tensor) -> Tensor:
        """What ``body(run, *inputs)`` gives at a position; the first body given is the one for all positions."""
        if self.place is not None:
            place = self.place.fill_(position)
            if self.repeat is None:
                self.repeat = captured(partial(self._at, place, body), *inputs)
            return self.repeat(*inputs)
        num_threads = torch.get_num_threads()
        if self.by_one_thread:
            torch.set_num_threads(1)
        try:
            return self._at(position, body, *inputs)
        finally:
            torch.set_num_threads(num_threads)

    def _at(self, position: Position, body: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        for stack, _ in self.stacks:
            stack.begin(position)
        result = body(lambda layer, x: self.steps[layer](x), *inputs)
        for stack, _ in self.stacks:
            stack.end()
        return result


def likeness(layer: RasterConv2d | CausalAttention) -> Hashable:
    """Equal for layers that go into one stack: convolutions of one geometry; each attention is alone."""
    if isinstance(layer, CausalAttention):
        return layer
    seen = (layer.rows_above, layer.columns, layer.own_taps)
    return (*seen, layer.in_channels, layer.out_channels, layer.project and layer.project.in_features)


def stack_of(
    layers: Sequence[RasterConv2d | CausalAttention], num_samples: int, grid: Sequence[int], by_tensor: bool
) -> Stack:
    """The state of like layers before the first row; `by_tensor`: positions will be tensors."""
    first, convs = layers[0], [layer for layer in layers if isinstance(layer, RasterConv2d)]
    if isinstance(first, CausalAttention):
        return attention_stack(first, num_samples, grid, by_tensor)
    return conv_stack(convs, num_samples, grid, by_tensor)
