"""Causal attention, evaluated one position after another."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.drawing.stepwise.stack import Position, Stack
from vqgen.nn.priors.attention import CausalAttention


class AttentionState(Stack):
    """The keys and values of all positions so far, of each sample and head."""

    def __init__(self, layer: CausalAttention, num_samples: int, grid: Sequence[int]):
        self.parts, self.size = num_samples * layer.num_heads, layer.channels // layer.num_heads
        self.split = (num_samples, 3, layer.num_heads, self.size)
        self.length, self.scale = grid[0] * grid[1], 1 / math.sqrt(self.size)
        self.past = torch.empty(0)
        self.here: Position = 0

    def begin(self, position: Position) -> None:
        """Move on to the position."""
        self.here = position

    def step(self, k: int, x: Float[Tensor, "b c3"]) -> Float[Tensor, "b c"]:
        """Enter key and value of the position and give the result there."""
        if not self.past.numel():
            self.make_room(x)
        query, key_value = x.view(self.split).transpose(0, 1).reshape(3, self.parts, self.size).split((1, 2))
        keys, values = self.enter(key_value).unbind(0)
        weights = self.scores(query.view(self.parts, 1, self.size) * self.scale, keys).softmax(2)
        return torch.bmm(weights, values.transpose(1, 2)).view(len(x), -1)

    def make_room(self, like: Tensor) -> None:
        """Buffers for all positions, of the type and on the device of a tensor."""
        self.past = like.new_zeros(2, self.parts, self.size, self.length)

    def enter(self, key_value: Float[Tensor, "2 n d"]) -> Float[Tensor, "2 n d t"]:
        """Keep key and value; all so far."""
        here = int(self.here)
        self.past.select(3, here).copy_(key_value)
        return self.past.narrow(3, 0, here + 1)

    def scores(self, query: Float[Tensor, "n 1 d"], keys: Float[Tensor, "n d t"]) -> Float[Tensor, "n 1 t"]:
        """Products of the query, scaled, with the keys."""
        return torch.bmm(query, keys)


class TensorAttentionState(AttentionState):
    """The same for a position that is a tensor: those that come after it have weight zero."""

    def make_room(self, like: Tensor) -> None:
        """Buffers for all positions, and their numbers."""
        super().make_room(like)
        self.places = torch.arange(self.length, device=like.device)

    def enter(self, key_value: Float[Tensor, "2 n d"]) -> Float[Tensor, "2 n d t"]:
        """Keep key and value; those so far, and room for all."""
        assert isinstance(self.here, Tensor)
        return self.past.index_copy_(3, self.here, key_value.unsqueeze(3))

    def scores(self, query: Float[Tensor, "n 1 d"], keys: Float[Tensor, "n d t"]) -> Float[Tensor, "n 1 t"]:
        """Products of the query, scaled, with the keys; minus infinity for those to come."""
        return torch.bmm(query, keys).masked_fill(self.places > self.here, -torch.inf)


def attention_stack(layer: CausalAttention, num_samples: int, grid: Sequence[int], by_tensor: bool) -> AttentionState:
    """The state of a layer for positions that are numbers or tensors."""
    return (TensorAttentionState if by_tensor else AttentionState)(layer, num_samples, grid)
