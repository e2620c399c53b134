"""A transformer over maps of growing size, each drawn at once from those before it (VAR, arXiv 2404.02905)."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vqgen.nn.autoencoders.scales import Resize
from vqgen.nn.priors.network import AutoregressiveNetwork
from vqgen.nn.priors.positions import POSITION_CHANNELS, position_features
from vqgen.nn.priors.transformer import (
    RotaryAttention,
    Rotation,
    TransformerBlock,
    check_sizes,
    hidden_width,
    rotation,
    small_weights,
)


class BlockCausalAttention(RotaryAttention):
    """Attention of every scale to itself and those before it; no T x T matrix is stored, and no mask."""

    def __init__(self, channels: int, num_heads: int, grids: Sequence[Sequence[int]]):
        super().__init__(channels, num_heads)
        self.lengths = [height * width for height, width in grids]

    def forward(self, x: Float[Tensor, "b t c"], by: Rotation) -> Float[Tensor, "b t c"]:
        """All positions of as many scales as are there."""
        query, key, value = self.project(x, by)
        ends = [0, *(end for end in accumulate(self.lengths) if end <= x.shape[1])]
        attended = [
            F.scaled_dot_product_attention(query[:, :, start:end], key[:, :, :end], value[:, :, :end])
            for start, end in pairwise(ends)
        ]
        return self.output(torch.cat(attended, dim=2).transpose(1, 2).flatten(2))


class ScaleHead(AutoregressiveNetwork):
    """Logits of a scale's codes from features at its positions: none depends on another code of the scale."""

    def __init__(self, channels: int, num_embeddings: int):
        super().__init__(num_embeddings, channels)
        self.norm, self.output = nn.RMSNorm(channels), nn.Linear(channels, num_embeddings, bias=False)

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e _ _"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position of the features, which is a map of the same size as that of the codes."""
        self.check_condition(condition)
        assert condition is not None
        if condition.shape[2:] != codes.shape[1:]:
            raise ValueError(f"a scale of {list(condition.shape[2:])} has no map of {list(codes.shape[1:])}")
        logits: Tensor = self.output(self.norm(condition.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return logits.expand(len(codes), -1, -1, -1)


class ScaleTransformer(nn.Module):
    """Features of every position of every scale, from the codes of the scales before it.

    A position is given the sum of what all scales before have at its place, each code as a vector that is learned here
    and the map of them resized, as the tokenizer of VAR resizes its own.

    Args:
        grids: height and width of each scale, top first.
        num_embeddings: codebook size of each.
        condition_channels: channels of the vector that label and the like make; 0 for none.
        shared: one table of vectors, and of logits, for all scales, which are then of one codebook size; for tokenizers
            of one codebook, and small ones of several. False: one for each.
        channels: width, a multiple of 4 num_heads: 64 to 1024.
        num_layers: blocks: 4 to 24.
        num_heads: of each block; 16 to 64 channels a head are usual.
        hidden_channels: width of the gated layers; None for 8/3 of `channels`, rounded up to a multiple of 8.
        dropout: share dropped of what each layer adds; 0 to 0.2.
        checkpointing: compute the blocks' activations again in the backward pass, to train in less memory.
    """

    def __init__(
        self,
        grids: Sequence[Sequence[int]],
        num_embeddings: Sequence[int],
        condition_channels: int = 0,
        shared: bool = True,
        channels: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        hidden_channels: int | None = None,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ):
        check_sizes(channels, num_layers, num_heads, dropout)
        if shared and len(set(num_embeddings)) > 1:
            raise ValueError(f"{shared=}: codebooks of {', '.join(map(str, num_embeddings))} codes share no table")
        super().__init__()
        self.grids, self.head_channels, self.checkpointing = [*map(tuple, grids)], channels // num_heads, checkpointing
        self.shared, above = shared, num_embeddings[:-1]  # the last scale's codes are above no other
        self.embeddings = nn.ModuleList(nn.Embedding(size, channels) for size in (above[:1] if shared else above))
        self.weight = nn.Embedding(len(above), channels) if above else None  # of each scale's vectors in the sum
        self.heads = nn.ModuleList(
            ScaleHead(channels, size) for size in (num_embeddings[:1] if shared else num_embeddings)
        )
        self.scale = nn.Embedding(len(grids), channels)
        self.place = nn.Linear(POSITION_CHANNELS, channels, bias=False)
        self.project = nn.Linear(condition_channels, channels, bias=False) if condition_channels else None
        self.resize = nn.ModuleDict(
            {f"{j}_{k}": Resize(self.grids[j], grid) for k, grid in enumerate(self.grids) for j in range(k)}
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(
                channels,
                BlockCausalAttention(channels, num_heads, self.grids),
                hidden_width(channels, hidden_channels),
                dropout,
            )
            for _ in range(num_layers)
        )
        small_weights(self, num_layers)
        if self.weight is not None:
            nn.init.ones_(self.weight.weight)

    def head(self, scale: int) -> ScaleHead:
        """What makes logits of a scale's features."""
        head = self.heads[0 if self.shared else scale]
        assert isinstance(head, ScaleHead)
        return head

    def separate_layers(self) -> list[nn.Module]:
        """The blocks, and the heads, which are called after the features are there."""
        return [*self.blocks, *self.heads]

    def forward(
        self, codes: Sequence[Int[Tensor, "b _ _"]], condition: Float[Tensor, "_ e 1 1"] | None, num_samples: int
    ) -> list[Float[Tensor, "b c _ _"]]:
        """Features of the scales that codes are given of, and of the next one, if there is one.

        Args:
            codes: of the first scales; empty for none.
            condition: what label and the like make, of each sample or one for all.
            num_samples: size of the batch.
        """
        found, grids = [tuple(c.shape[1:]) for c in codes], self.grids[: len(codes) + 1]
        if found != self.grids[: len(codes)]:
            raise ValueError(f"the codes have grids {found}, but the prior was built for {self.grids}")
        maps = [self._vectors(j, codes[j]) for j in range(len(grids) - 1)]
        x = torch.cat([self._input(k, maps[:k], condition, num_samples) for k in range(len(grids))], dim=1)
        turns = [rotation(grid, self.head_channels, x, self.grids[-1]) for grid in grids]
        by = Rotation(torch.cat([turn.cos for turn in turns]), torch.cat([turn.sin for turn in turns]))
        for block in self.blocks:
            again = self.checkpointing and self.training
            x = checkpoint(block, x, by, use_reentrant=False) if again else block(x, by)
        parts = x.transpose(1, 2).split([height * width for height, width in grids], dim=2)
        return [part.unflatten(2, grid) for part, grid in zip(parts, grids, strict=True)]

    def _vectors(self, scale: int, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        assert self.weight is not None
        vectors = self.embeddings[0 if self.shared else scale](codes) * self.weight.weight[scale]
        return vectors.permute(0, 3, 1, 2)

    def _input(
        self, scale: int, maps: Sequence[Tensor], condition: Float[Tensor, "_ e 1 1"] | None, num_samples: int
    ) -> Float[Tensor, "b t c"]:
        """What the positions of a scale are given."""
        grid = self.grids[scale]
        like = self.scale.weight
        x = self.place(position_features(grid, like, self.grids[-1]).flatten(2).transpose(1, 2)) + like[scale]
        if self.project is not None and condition is not None:
            x = x + self.project(condition.flatten(1))[:, None]
        for above, vectors in enumerate(maps):
            x = x + self.resize[f"{above}_{scale}"](vectors).flatten(2).transpose(1, 2)
        return x.expand(num_samples, -1, -1)
