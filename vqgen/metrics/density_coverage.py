"""Density and coverage (Naeem et al. 2020, arXiv 2002.09797)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.metrics.features import FeatureSets
from vqgen.metrics.neighbors import radii, squared_distances


class DensityCoverage(NamedTuple):
    """`density`: how densely real images lie around the generated ones, 1 on average for equal distributions and
    above 1 possible; `coverage`: part of the real images with a generated one near, 0 to 1."""

    density: Float[Tensor, ""]
    coverage: Float[Tensor, ""]


def density_coverage(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], k: int = 5) -> DensityCoverage:
    """Balls around the real vectors, each reaching to its k-th nearest neighbour, and what falls into them (eq. 3, 4).

    Args:
        real: feature vectors of real images.
        generated: those of generated images.
        k: neighbour that a ball reaches to; 5 in the paper.

    Raises:
        ValueError: k or fewer real vectors.
    """
    reach = radii(real, k).square()
    count, covered = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for _, squared in squared_distances(generated, real):
        inside = squared <= reach
        count += int(inside.sum())
        covered |= inside.any(0)
    return DensityCoverage(torch.tensor(count / (k * len(generated))), covered.float().mean())


class DensityAndCoverage(FeatureSets):
    """Computes `DensityCoverage` of all feature vectors given.

    Args:
        k: neighbour that a ball reaches to; 5 in the paper.
    """

    def __init__(self, k: int = 5) -> None:
        super().__init__()
        self.k = k

    def compute(self) -> DensityCoverage:
        """Density and coverage of all vectors so far."""
        return density_coverage(*self.sets(), self.k)
