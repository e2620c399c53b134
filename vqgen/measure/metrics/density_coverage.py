"""Density and coverage (Naeem et al. 2020, arXiv 2002.09797)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.measure.metrics.neighbors import Balls, balls, squared_distances


class DensityCoverage(NamedTuple):
    """`density`: how densely real images lie around the generated ones, 1 on average for equal distributions and
    above 1 possible; `coverage`: part of the real images with a generated one near, 0 to 1."""

    density: Float[Tensor, ""]
    coverage: Float[Tensor, ""]


def density_coverage(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], k: int = 5) -> DensityCoverage:
    """Balls around the real vectors, each reaching to its k-th nearest neighbour, and what falls into them (eq. 3, 4).

    A generated vector that is exactly as far as that neighbour covers, and counts for density in part: for so much that
    the real vectors themselves count k in each ball, and have a density of exactly 1. Without duplicates that is
    nothing, as in the authors' code (a ball holds its own centre and k - 1 others); of n equal vectors it is k / n. k
    is 5 in the paper; ValueError for k or fewer real vectors.
    """
    around = balls(real, k)
    own, found = _counts(real, real, around), _counts(generated, real, around)
    part = (k - own.inside) / own.rim.clamp(min=1)
    density = (found.inside + part * found.rim).sum() / (k * len(generated))
    return DensityCoverage(density.float(), (found.inside + found.rim > 0).float().mean())


class _BallCounts(NamedTuple):
    """How many vectors each ball holds, and how many are at its rim."""

    inside: Float[Tensor, " n"]
    rim: Float[Tensor, " n"]


def _counts(x: Float[Tensor, "m d"], centres: Float[Tensor, "n d"], around: Balls) -> _BallCounts:
    inside, within = torch.zeros_like(around.inner), torch.zeros_like(around.inner)
    for _, squared in squared_distances(x, centres):
        inside += (squared < around.inner).sum(0)
        within += (squared <= around.outer).sum(0)
    return _BallCounts(inside, within - inside)
