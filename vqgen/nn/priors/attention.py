"""Causal attention over the positions of a map in raster order, in memory linear in their number."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class CausalAttention(nn.Module):
    """Multi-head attention of every position to itself and those before it (arXiv 1706.03762, section 3.2).

    Queries, keys and values must each know no code but earlier ones; then the result does not either, and the first
    position has something to attend to: itself. No mask and no matrix of T x T weights is ever stored. Queries, keys,
    values and the result have `channels`, a multiple of `num_heads`.
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
