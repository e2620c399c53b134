"""A transformer over places and a small one over the codes of each: the RQ-Transformer (arXiv 2203.01941)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.priors.network import AutoregressiveNetwork
from vqgen.nn.priors.positions import POSITION_CHANNELS, position_features
from vqgen.nn.priors.transformer import (
    STD,
    CausalRotaryAttention,
    Rotation,
    TransformerBlock,
    check_sizes,
    hidden_width,
    rotation,
    small_weights,
)
from vqgen.nn.sizes import check_at_least


class RQTransformer(AutoregressiveNetwork):
    """Logits of every code given all codes before it, of a map whose places have `depth` codes side by side.

    The large transformer sees each place once, as the sum of its codes' vectors; its features of the places before
    begin the sequence of a small one over the codes of a place, which are given the sum of those before them there
    (section 3.2.2). So the cost of attention is that of places, not of codes. Both tell codes apart by one table.

    Args, after those of `CodeNetwork`:
        depth: codes of each place; it divides the map's width.
        channels: width of both transformers, a multiple of 4 num_heads: 64 to 1024.
        num_layers: blocks over places: 4 to 24.
        depth_layers: blocks over the codes of a place: 1 to 6.
        num_heads: of each block; 16 to 64 channels a head are usual.
        hidden_channels: width of the gated layers; None for 8/3 of `channels`, rounded up to a multiple of 8.
        dropout: share dropped of what each layer adds; 0 to 0.2.
    """

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        depth: int = 4,
        channels: int = 256,
        num_layers: int = 8,
        depth_layers: int = 2,
        num_heads: int = 4,
        hidden_channels: int | None = None,
        dropout: float = 0.1,
    ):
        check_sizes(channels, num_layers, num_heads, dropout)
        check_at_least(1, depth=depth, depth_layers=depth_layers)
        super().__init__(num_embeddings, condition_channels)
        self.depth, self.head_channels = depth, channels // num_heads
        hidden = hidden_width(channels, hidden_channels)

        def blocks(number: int) -> nn.ModuleList:
            made = (CausalRotaryAttention(channels, num_heads) for _ in range(number))
            return nn.ModuleList(TransformerBlock(channels, attention, hidden, dropout) for attention in made)

        self.embedding = nn.Embedding(num_embeddings, channels)
        self.start = nn.Parameter(torch.empty(channels))  # what the first place is given
        self.place = nn.Linear(POSITION_CHANNELS, channels, bias=False)
        self.project = nn.Linear(condition_channels, channels, bias=False) if condition_channels else None
        self.blocks = blocks(num_layers)
        self.of_depth = nn.Embedding(depth, channels)
        self.depth_blocks = blocks(depth_layers)
        self.norm, self.output = nn.RMSNorm(channels), nn.Linear(channels, num_embeddings, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights anew from N(0, 0.02^2), as those of `Transformer`: all codes are about equally likely."""
        small_weights(self, len(self.blocks))
        nn.init.normal_(self.start, std=STD)

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only.

        Of the condition, a place has that of its first code.
        """
        grid = self.places(codes.shape[1:])
        vectors = self.embedding(codes.flatten(1)).unflatten(1, (-1, self.depth))
        before = torch.cat([self.start.expand(len(codes), 1, -1), vectors.sum(dim=2)[:, :-1]], dim=1)
        x, by = before + self.side_input(grid, condition), self.turns(grid)
        for block in self.blocks:
            x = block(x, by)
        x = torch.cat([x[:, :, None], vectors[:, :, :-1].cumsum(dim=2)], dim=2).flatten(0, 1) + self.of_depth.weight
        by = self.turns((1, self.depth))
        for block in self.depth_blocks:
            x = block(x, by)
        return self.output(self.norm(x)).view(*codes.shape, -1).permute(0, 3, 1, 2)

    def places(self, grid: Sequence[int]) -> tuple[int, int]:
        """Height and width of a map in places.

        Raises:
            ValueError: its rows are of no whole number of places.
        """
        height, width = grid
        if width % self.depth:
            raise ValueError(f"a row of {width} codes is of no whole number of places of depth={self.depth} codes")
        return height, width // self.depth

    def turns(self, grid: Sequence[int]) -> Rotation:
        """Angles of the positions of a grid."""
        return rotation(grid, self.head_channels, self.start)

    def side_input(self, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None) -> Float[Tensor, "_ t c"]:
        """Features of each place and its condition, which are added to those of the codes before it."""
        self.check_condition(condition)
        x = self.place(position_features(grid, self.start).flatten(2).transpose(1, 2))
        if self.project is None or condition is None:
            return x
        of_places = condition[..., :: self.depth].expand(-1, -1, *grid)
        return x + self.project(of_places.flatten(2).transpose(1, 2))
