"""A transformer over places and a small one over the codes of each: the RQ-Transformer (arXiv 2203.01941)."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.priors.network import AutoregressiveNetwork
from vqgen.nn.priors.transformer import CausalRotaryAttention, CodeTransformer, Rotation, rotation, small_weights
from vqgen.nn.sizes import check_at_least

SEQUENCES = 2**15
"""Places at a time in the attention over their codes: on CUDA 2^16 of them are more than its kernels take."""


class RQTransformer(CodeTransformer, AutoregressiveNetwork):
    """Logits of every code given all codes before it, of a map whose places have `depth` codes side by side.

    The large transformer sees each place once, as the sum of its codes' vectors; its features of the places before
    begin the sequence of a small one over the codes of a place, which are given the sum of those before them there
    (section 3.2.2). So the cost of attention is that of places, not of codes. One table tells codes apart in both.

    Args, after those of `CodeNetwork`:
        depth: codes of each place; it divides the map's width.
        depth_layers: blocks over the codes of a place, as wide as those over places: 1 to 6.
        channels, num_layers, num_heads, hidden_channels, dropout, checkpointing: as of `CodeTransformer`.
    """

    attention = CausalRotaryAttention

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        depth: int = 4,
        depth_layers: int = 2,
        channels: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        hidden_channels: int | None = None,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ):
        check_at_least(1, depth=depth, depth_layers=depth_layers)
        sizes = (channels, num_layers, num_heads, hidden_channels, dropout, checkpointing)
        super().__init__(num_embeddings, condition_channels, *sizes)
        self.depth = depth
        self.of_depth = nn.Embedding(depth, channels)
        self.depth_blocks = self.new_blocks(depth_layers)
        small_weights(self, num_layers + depth_layers)

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only.

        Of the condition, a place has that of its first code.
        """
        grid, start = self.places(codes.shape[1:]), codes.new_full((1, 1), self.num_embeddings)
        vectors = self.embedding(codes.flatten(1)).unflatten(1, (-1, self.depth))
        before = torch.cat([self.embedding(start).expand(len(codes), 1, -1), vectors.sum(dim=2)[:, :-1]], dim=1)
        x = self.through(self.blocks, before + self.of_places(grid, condition), self.turns(grid))
        said = accumulate(vectors[:, :, :-1].unbind(2))  # a scan on CUDA would not be deterministic
        x = torch.stack([x, *said], dim=2).flatten(0, 1) + self.of_depth.weight
        by = self.turns((1, self.depth))
        x = torch.cat([self.through(self.depth_blocks, part, by) for part in x.split(SEQUENCES)])
        return self.output(self.norm(x)).view(*codes.shape, -1).permute(0, 3, 1, 2)

    def separate_layers(self) -> list[nn.Module]:
        """The blocks over places, and those over the codes of a place."""
        return [*self.blocks, *self.depth_blocks]

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
        return rotation(grid, self.head_channels, self.embedding.weight)

    def of_places(self, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None) -> Float[Tensor, "_ t c"]:
        """Features of each place and its condition, which are added to those of the codes before it."""
        self.check_condition(condition)
        return self.side_input(grid, condition if condition is None else condition[..., :: self.depth])
