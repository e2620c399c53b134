"""Transformers over maps of codes: in raster order, as VQGAN (arXiv 2012.09841) and LlamaGen (arXiv 2406.06525) have
it, and of masked maps, as MaskGIT has it (arXiv 2202.04200)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vqgen.nn.priors.network import AutoregressiveNetwork, CodeNetwork, MaskedNetwork
from vqgen.nn.priors.positions import POSITION_CHANNELS, centres, position_features
from vqgen.nn.sizes import check_at_least, check_share

BASE = 100.0
"""The slowest angle turns once in about 2 pi BASE rows or columns, beyond the sides of any grid of codes."""

STD = 0.02
"""Standard deviation of weights at the start (GPT-2): with AdamW's steps of one size, small weights learn sooner."""


class Rotation(NamedTuple):
    """Cosine and sine of the angles that each pair of a head's numbers is turned by, position by position."""

    cos: Float[Tensor, "t d"]
    sin: Float[Tensor, "t d"]


def rotation(grid: Sequence[int], head_channels: int, like: Tensor, whole: Sequence[int] | None = None) -> Rotation:
    """Axial rotary positions (arXiv 2104.09864, 2403.13298): half of the pairs turn by the row, half by the column.

    Products of turned queries and keys depend on the distance of their positions alone, so that the grid may be another
    than in training. Cells of a coarser grid than the `whole` one stand where their centres are in it.
    """
    pairs = head_channels // 4
    precise = torch.float32 if like.device.type == "mps" else torch.float64
    speeds = BASE ** (-torch.arange(pairs, dtype=precise, device=like.device) / pairs)
    row, column = (
        centres(n, of, precise, like.device)[:, None] * speeds for n, of in zip(grid, whole or grid, strict=True)
    )
    size = (*grid, pairs)
    angles = torch.cat([row[:, None].expand(size), column[None].expand(size)], dim=2).flatten(0, 1)
    return Rotation(angles.cos().to(like.dtype), angles.sin().to(like.dtype))


def rotate(x: Float[Tensor, "b n t d2"], by: Rotation) -> Float[Tensor, "b n t d2"]:
    """Each pair of numbers, of which one stands in the first half and one in the second, turned by its angle."""
    a, b = x.chunk(2, dim=3)
    return torch.cat([a * by.cos - b * by.sin, a * by.sin + b * by.cos], dim=3)


class RotaryAttention(nn.Module):
    """Attention of normalised (arXiv 2302.05442), turned queries and keys; no T x T matrix is stored.

    Input and result have `channels`, a multiple of 4 num_heads.
    """

    def __init__(self, channels: int, num_heads: int):
        super().__init__()
        self.num_heads, self.head_channels = num_heads, channels // num_heads
        self.input = nn.Linear(channels, 3 * channels, bias=False)
        self.query_norm = nn.RMSNorm(self.head_channels)
        self.key_norm = nn.RMSNorm(self.head_channels)
        self.output = nn.Linear(channels, channels, bias=False)

    def project(
        self, x: Float[Tensor, "b t c"], by: Rotation
    ) -> tuple[Float[Tensor, "b n t d"], Float[Tensor, "b n t d"], Float[Tensor, "b n t d"]]:
        """Queries, keys and values of each head."""
        query, key, value = self.input(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return rotate(self.query_norm(query), by), rotate(self.key_norm(key), by), value

    def forward(self, x: Float[Tensor, "b t c"], by: Rotation) -> Float[Tensor, "b t c"]:
        """Every position attends to all."""
        attended = F.scaled_dot_product_attention(*self.project(x, by))
        return self.output(attended.transpose(1, 2).flatten(2))


class CausalRotaryAttention(RotaryAttention):
    """The same over the past."""

    def forward(self, x: Float[Tensor, "b t c"], by: Rotation) -> Float[Tensor, "b t c"]:
        """Every position attends to itself and those before it."""
        attended = F.scaled_dot_product_attention(*self.project(x, by), is_causal=True)
        return self.output(attended.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """A gated layer (arXiv 2002.05202): swish(a) times b, both projections of the input."""

    def __init__(self, channels: int, hidden_channels: int):
        super().__init__()
        self.input = nn.Linear(channels, 2 * hidden_channels, bias=False)
        self.output = nn.Linear(hidden_channels, channels, bias=False)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """The same at every position."""
        gate, value = self.input(x).chunk(2, dim=-1)
        return self.output(F.silu(gate) * value)


class TransformerBlock(nn.Module):
    """Attention and a gated layer, each of the normalised features (arXiv 1910.07467), added to them."""

    def __init__(self, channels: int, attention: RotaryAttention, hidden_channels: int, dropout: float):
        super().__init__()
        self.attention_norm, self.attention = nn.RMSNorm(channels), attention
        self.mlp_norm, self.mlp = nn.RMSNorm(channels), SwiGLU(channels, hidden_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t c"], by: Rotation) -> Float[Tensor, "b t c"]:
        """All positions at once."""
        x = x + self.dropout(self.attention(self.attention_norm(x), by))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


def small_weights(network: nn.Module, num_layers: int) -> None:
    """Draw matrices from N(0, 0.02^2); those of blocks whose output is added smaller, together they add as one."""
    for name, parameter in network.named_parameters():
        if parameter.dim() == 2:
            added = "blocks." in name and "output" in name
            nn.init.normal_(parameter, std=STD / math.sqrt(2 * num_layers) if added else STD)


def check_sizes(channels: int, num_layers: int, num_heads: int, dropout: float) -> None:
    """Raise ValueError for sizes that no transformer here has."""
    check_at_least(1, channels=channels, num_layers=num_layers, num_heads=num_heads)
    check_share(dropout=dropout)
    if channels % (4 * num_heads):
        raise ValueError(
            f"{channels=} is no multiple of 4 x {num_heads=}: rows and columns turn pairs of a head's numbers each"
        )


def hidden_width(channels: int, hidden_channels: int | None) -> int:
    """Width of the gated layers: what is asked for, or 8/3 of `channels`, rounded up to a multiple of 8."""
    return hidden_channels or -(-8 * channels // 3 // 8) * 8


class CodeTransformer(CodeNetwork):
    """Blocks between an embedding of codes and logits; a position knows its place, counted from the top left.

    Args, after those of `CodeNetwork`:
        channels: width, a multiple of 4 num_heads: 64 to 1024.
        num_layers: blocks: 4 to 24.
        num_heads: of each block; 16 to 64 channels a head are usual.
        hidden_channels: width of the gated layers; None for 8/3 of `channels`, rounded up to a multiple of 8.
        dropout: share dropped of what each layer adds; 0 to 0.2.
        checkpointing: compute the blocks' activations again in the backward pass, to train in less memory.
    """

    attention: type[RotaryAttention]

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        channels: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        hidden_channels: int | None = None,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ):
        check_sizes(channels, num_layers, num_heads, dropout)
        super().__init__(num_embeddings, condition_channels)
        self.head_channels, self.checkpointing = channels // num_heads, checkpointing
        self._sizes = channels, num_heads, hidden_width(channels, hidden_channels), dropout
        self.embedding = nn.Embedding(num_embeddings + 1, channels)  # the last stands for no code
        self.place = nn.Linear(POSITION_CHANNELS, channels, bias=False)
        self.project = nn.Linear(condition_channels, channels, bias=False) if condition_channels else None
        self.blocks = self.new_blocks(num_layers)
        self.norm, self.output = nn.RMSNorm(channels), nn.Linear(channels, num_embeddings, bias=False)
        self.reset_parameters()

    def new_blocks(self, number: int) -> nn.ModuleList:
        """Blocks of the network's sizes."""
        channels, num_heads, hidden, dropout = self._sizes
        made = (self.attention(channels, num_heads) for _ in range(number))
        return nn.ModuleList(TransformerBlock(channels, attention, hidden, dropout) for attention in made)

    def reset_parameters(self) -> None:
        """Draw weights anew from N(0, 0.02^2), as GPT-2 does: all codes are about equally likely.

        What all layers together add to the features is of the scale of what one adds.
        """
        small_weights(self, len(self.blocks))

    def logits(
        self, codes: Int[Tensor, "b t"], grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position of a grid, from the codes that the positions are given; `num_embeddings` is none."""
        self.check_condition(condition)
        x = self.embedding(codes) + self.side_input(grid, condition)
        x = self.through(self.blocks, x, rotation(grid, self.head_channels, x))
        return self.output(self.norm(x)).transpose(1, 2).unflatten(2, grid)

    def separate_layers(self) -> list[nn.Module]:
        """The blocks."""
        return [*self.blocks]

    def through(self, blocks: nn.ModuleList, x: Float[Tensor, "b t c"], by: Rotation) -> Float[Tensor, "b t c"]:
        """Features after some blocks."""
        for block in blocks:
            again = self.checkpointing and self.training
            x = checkpoint(block, x, by, use_reentrant=False) if again else block(x, by)
        return x

    def side_input(self, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None) -> Float[Tensor, "_ t c"]:
        """Features of each position's place and condition, which are added to those of the code before it."""
        places = self.place(position_features(grid, self.embedding.weight).flatten(2).transpose(1, 2))
        if self.project is None or condition is None:
            return places
        return places + self.project(condition.expand(-1, -1, *grid).flatten(2).transpose(1, 2))


class Transformer(CodeTransformer, AutoregressiveNetwork):
    """Logits of every code given all codes before it in raster order: a position is given the code before it."""

    attention = CausalRotaryAttention

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only."""
        before = F.pad(codes.flatten(1), (1, -1), value=self.num_embeddings)
        return self.logits(before, codes.shape[1:], condition)


class MaskedTransformer(CodeTransformer, MaskedNetwork):
    """Logits of every code given those that are not masked, wherever they stand."""

    attention = RotaryAttention

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position; a code of `mask_code` is masked."""
        return self.logits(codes.flatten(1), codes.shape[1:], condition)
