"""Causal attention over the positions of a map in raster order, in memory linear in their number."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vqgen.nn.incremental import LayerState, Stepwise


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

    def start(self, num_samples: int, grid: Sequence[int]) -> "AttentionState":
        """The state from which `forward` is evaluated position by position."""
        return AttentionState(self, num_samples, grid)


class AttentionState(LayerState):
    """The keys and values of all positions so far, of each sample and head."""

    def __init__(self, layer: CausalAttention, num_samples: int, grid: Sequence[int]):
        self.layer, self.width, self.row = layer, grid[1], -1
        self.parts, self.size = num_samples * layer.num_heads, layer.channels // layer.num_heads
        self.length = grid[0] * grid[1]
        self.keys = self.values = torch.empty(0)

    def begin_row(self, context: Tensor | None) -> None:
        """Attention takes no condition: only the place moves on."""
        self.row += 1

    def step(self, column: int, x: Float[Tensor, "b c3"]) -> Float[Tensor, "b c"]:
        """Enter key and value of a column and give the result there."""
        if not self.keys.numel():
            self.keys = x.new_zeros(self.parts, self.size, self.length)
            self.values = x.new_zeros(self.parts, self.length, self.size)
        here = self.row * self.width + column
        heads = x.view(len(x), 3, -1, self.size).transpose(0, 1).reshape(3, self.parts, self.size)
        query, key, value = heads.unbind(0)
        self.keys[:, :, here] = key
        self.values[:, here] = value
        query = query.unsqueeze(1) / math.sqrt(self.size)
        weights = torch.bmm(query, self.keys[:, :, : here + 1]).softmax(2)
        return torch.bmm(weights, self.values[:, : here + 1]).view(len(x), -1)
