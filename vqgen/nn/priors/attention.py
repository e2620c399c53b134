"""Causal attention over the positions of a map in raster order, in memory linear in their number."""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vqgen.nn.stepwise.incremental import Position, Stack, Stepwise


class CausalAttention(Stepwise):
    """Multi-head attention of every position to itself and those before it (arXiv 1706.03762, section 3.2).

    Queries, keys and values must each know no code but earlier ones; then the result does not either, and the
    first position has something to attend to: itself. No mask and no matrix of T x T weights is ever stored.

    Args:
        channels: of queries, keys, values and the result, a multiple of `num_heads`.
        num_heads: how many parts of the channels attend each on its own.
    """

    def __init__(self, channels: int, num_heads: int):
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"channels={channels} is no multiple of num_heads={num_heads}.")
        self.channels, self.num_heads = channels, num_heads

    def forward(self, query_key_value: Float[Tensor, "b c3 h w"]) -> Float[Tensor, "b c h w"]:
        """All positions at once."""
        parts = query_key_value.flatten(2).transpose(1, 2).unflatten(2, (3, self.num_heads, -1))
        query, key, value = parts.transpose(1, 3).unbind(2)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return attended.transpose(2, 3).flatten(1, 2).unflatten(2, query_key_value.shape[2:])

    def likeness(self) -> Hashable:
        """No other layer's: each attends on its own."""
        return self

    def stack(
        self, layers: Sequence["CausalAttention"], num_samples: int, grid: Sequence[int], by_tensor: bool
    ) -> "AttentionState":
        """The state from which `forward` is evaluated position by position."""
        return (TensorAttentionState if by_tensor else AttentionState)(self, num_samples, grid)


class AttentionState(Stack):
    """The keys and values of all positions so far, of each sample and head."""

    def __init__(self, layer: CausalAttention, num_samples: int, grid: Sequence[int]):
        self.parts, self.size = num_samples * layer.num_heads, layer.channels // layer.num_heads
        self.split = (num_samples, 3, layer.num_heads, self.size)
        self.length, self.scale = grid[0] * grid[1], 1 / math.sqrt(self.size)
        self.past = torch.empty(0)
        self.here: Any = 0

    def begin_row(self, contexts: Sequence[Tensor | None]) -> None:
        """Attention takes no condition."""

    def begin(self, position: Position) -> None:
        """The place moves on."""
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
        self.past.select(3, self.here).copy_(key_value)
        return self.past.narrow(3, 0, self.here + 1)

    def scores(self, query: Float[Tensor, "n 1 d"], keys: Float[Tensor, "n d t"]) -> Float[Tensor, "n 1 t"]:
        """Products of the query, scaled, with the keys."""
        return torch.bmm(query, keys)

    def end(self) -> None:
        """Keys and values are kept as they come."""


class TensorAttentionState(AttentionState):
    """The same for a position that is a tensor: those that come after it have weight zero."""

    def make_room(self, like: Tensor) -> None:
        """Buffers for all positions, and their numbers."""
        super().make_room(like)
        self.places = torch.arange(self.length, device=like.device)

    def enter(self, key_value: Float[Tensor, "2 n d"]) -> Float[Tensor, "2 n d t"]:
        """Keep key and value; those so far, and room for all."""
        return self.past.index_copy_(3, self.here, key_value.unsqueeze(3))

    def scores(self, query: Float[Tensor, "n 1 d"], keys: Float[Tensor, "n d t"]) -> Float[Tensor, "n 1 t"]:
        """Products of the query, scaled, with the keys; minus infinity for those to come."""
        return torch.bmm(query, keys).masked_fill(self.places > self.here, -torch.inf)
