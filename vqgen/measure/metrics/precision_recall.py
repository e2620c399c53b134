"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vqgen.measure.metrics.neighbors import Balls, balls, squared_distances


class PrecisionRecall(NamedTuple):
    """`precision`: part of the generated images among the real ones; `recall`: of the real among the generated."""

    precision: Float[Tensor, ""]
    recall: Float[Tensor, ""]


def precision_recall(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], k: int = 3) -> PrecisionRecall:
    """Part of each set inside the manifold of the other (eq. 1 and 2).

    A manifold is the union of balls around the vectors of a set, each reaching to its k-th nearest neighbour (3 in the
    paper): what lies at exactly that distance is in it, so that duplicates cover each other. Both measures depend on
    the numbers of images, so compare equal ones. ValueError for k or fewer vectors in a set.
    """
    within_real, within_generated = _within(generated, real, balls(real, k), balls(generated, k))
    return PrecisionRecall(within_real.float().mean(), within_generated.float().mean())


def _within(
    generated: Tensor, real: Tensor, of_real: Balls, of_generated: Balls
) -> tuple[Bool[Tensor, " m"], Bool[Tensor, " n"]]:
    """Which generated vectors are in a ball of a real one, and which real in one of a generated one, rim included."""
    inside, covered = [], torch.zeros_like(of_real.outer, dtype=torch.bool)
    for start, squared in squared_distances(generated, real):
        inside.append((squared <= of_real.outer).any(1))
        covered |= (squared <= of_generated.outer[start : start + len(squared), None]).any(0)
    return torch.cat(inside), covered
