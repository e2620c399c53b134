"""Finite scalar quantization (arXiv 2309.15505): each dimension is rounded to a few values; no codebook."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import log, prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.quantize.base import MAX_EMBEDDINGS, Quantization, Quantizer, StraightThrough, as_stored

EPSILON = 1e-3


class FSQ(Quantizer):
    """Bounds each dimension and rounds it to one of L values, evenly spaced in [-1, 1]; nothing is learned.

    Code vectors are all combinations, prod(levels) of them: all are within reach from the start and few go unused.

    Args:
        levels: values L of each dimension, at least 3 and best 5 or more; their number is `embedding_dim`, their
            product K at most 2^20. The paper takes (8, 6, 5) for 240, (8, 5, 5, 5) for 1000, (7, 5, 5, 5, 5) for 4375
            codes.
        num_embeddings: where no levels are given, about how many codes: see `levels_for`.
    """

    levels: Tensor
    bases: Tensor

    def __init__(self, levels: Sequence[int] | None = None, num_embeddings: int = 125):
        levels = levels_for(num_embeddings) if levels is None else levels
        if not levels or min(levels) < 3 or prod(levels) > MAX_EMBEDDINGS:
            raise ValueError(
                f"levels={list(levels)} make {prod(levels):,} codes: each must be at least 3, and their product at most"
                f" {MAX_EMBEDDINGS:,}, such as [8, 5, 5, 5] for 1000"
            )
        super().__init__()
        self.num_embeddings = prod(levels)
        self.embedding_dim = len(levels)
        bases = [prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels).view(-1, 1, 1), persistent=False)
        self.register_buffer("bases", torch.tensor(bases).view(-1, 1, 1), persistent=False)

    def forward(self, z_e: Float[Tensor, "b d h w"]) -> Quantization:
        """Rounded maps, with the straight-through gradient of the rounding; there are no losses."""
        self.check_channels(z_e)
        bounded = self.bound(z_e.float())
        codes = self._codes(bounded.detach())
        z_q = StraightThrough.apply(bounded / (self.levels // 2), as_stored(self.embed(codes), bounded))
        return Quantization(z_q.to(z_e.dtype), codes, {})

    @torch.no_grad()
    def nearest(self, z_e: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """The code of each position."""
        self.check_channels(z_e)
        return self._codes(self.bound(z_e.float()))

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The code vectors of a map of codes: the digits of the code in mixed radix, first dimension fastest."""
        half = self.levels // 2
        digits = codes[:, None] // self.bases % self.levels - half
        return digits / half

    def bound(self, z: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """`z` squeezed so that it rounds to L integers, with 0 to 0: f(z) of section 3.1.

        They are -(L - 1) / 2 to (L - 1) / 2 for odd L, and -L / 2 to L / 2 - 1 for even L.
        """
        half_width = (self.levels - 1) * (1 - EPSILON) / 2
        offset = (self.levels % 2 == 0) / 2
        return half_width * torch.tanh(z + torch.atanh(offset / half_width)) - offset

    def _codes(self, bounded: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        return ((bounded.round().long() + self.levels // 2) * self.bases).sum(dim=1)


def levels_for(num_embeddings: int) -> list[int]:
    """As few levels of 5 to 8 values as can be, whose product is nearest to a number of codes; one for few codes."""
    if num_embeddings < 25:
        return [num_embeddings]
    dims = range(2, int(log(num_embeddings, 5)) + 2)
    choices = [levels for d in dims for levels in combinations_with_replacement(range(8, 4, -1), d)]
    return list(min(choices, key=lambda levels: abs(prod(levels) - num_embeddings)))
