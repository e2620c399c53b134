"""K-means (Lloyd's algorithm), used to start a codebook from data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.nn.distributed import draw_rows, joined_size, take_from_rank_zero
from vqgen.nn.quantize.search import nearest_vectors

MIN_ROWS = 2**14
ROWS_PER_CODE = 16
NUM_ITERATIONS = 10


class Clusters(NamedTuple):
    """Cluster centres and the number of rows of each."""

    centres: Float[Tensor, "k d"]
    counts: Float[Tensor, " k"]


class Assignment(NamedTuple):
    """How many rows went to each code, and their sum."""

    counts: Float[Tensor, " k"]
    sums: Float[Tensor, "k d"]


def assign(x: Float[Tensor, "n d"], codes: Tensor, num_codes: int) -> Assignment:
    """Counts and sums of the rows of each code, without a one-hot matrix.

    Rows are summed less their mean: sums of many numbers far from zero lose the digits that tell the rows apart. Counts
    are exact up to 2^24 rows of a code.
    """
    counts, mean = x.new_zeros(num_codes).index_add_(0, codes, x.new_ones(len(x))), x.mean(dim=0)
    sums = x.new_zeros(num_codes, x.shape[1]).index_add_(0, codes, x - mean)
    return Assignment(counts, sums.addcmul_(counts[:, None], mean))


@torch.no_grad()
def draw_far(
    x: Float[Tensor, "n d"], centres: Float[Tensor, "k d"], num_rows: int, generator: torch.Generator
) -> Float[Tensor, "{num_rows} d"]:
    """Rows of `x` drawn with odds of their squared distance to the nearest centre, as k-means++ does.

    Most of an image may be plain ground: even odds would put most centres there, where one does as well. Source:
    Arthur & Vassilvitskii 2007, doi 10.5555/1283383.1283494. `x` has at least `num_rows` rows.
    """
    squared = (x - centres[nearest_vectors(x, centres)]).square().sum(dim=1).cpu()
    odds = squared + squared.mean() * 1e-6 + 1e-30  # rows on a centre too, where no others are left
    if not odds.sum().isfinite():
        odds = torch.ones_like(odds)  # of a run that diverges: its loss, a moment later, is what is told
    return x[torch.multinomial(odds, num_rows, generator=generator).to(x.device)]


@torch.no_grad()
def spread(x: Float[Tensor, "n d"], num_rows: int, generator: torch.Generator) -> Float[Tensor, "{num_rows} d"]:
    """Rows far from each other to start k-means from: the first eighth evenly drawn, the rest by `draw_far`.

    With fewer rows than are asked for, rows occur more than once. `x` is in random order.
    """
    part = max(1, -(-num_rows // 8))
    chosen = x[:part]
    while len(chosen) < num_rows:
        chosen = torch.cat([chosen, draw_far(x, chosen, min(part, num_rows - len(chosen), len(x)), generator)])
    return chosen[torch.arange(num_rows, device=x.device) % len(chosen)]


@torch.no_grad()
def k_means(
    x: Float[Tensor, "n d"],
    centres: Float[Tensor, "k d"],
    num_iterations: int,
    project: Callable[[Tensor], Tensor],
) -> Clusters:
    """Centres after a number of Lloyd iterations; a centre that attracts no row stays where it is.

    `project` is applied to the means, for centres that must lie on a surface (the unit sphere, for cosine
    similarity); the identity gives plain k-means.
    """
    counts = centres.new_zeros(len(centres))
    for _ in range(num_iterations):
        counts, sums = assign(x, nearest_vectors(x, centres), len(centres))
        means = project(sums / counts.clamp(min=1)[:, None])
        centres = torch.where(counts[:, None] > 0, means, centres)
    return Clusters(centres, counts)


@torch.no_grad()
def codebook_start(
    x: Float[Tensor, "n d"], num_codes: int, generator: torch.Generator, project: Callable[[Tensor], Tensor]
) -> Clusters:
    """K-means over (a draw from) the batch of all ranks, the same on all of them; counts are of the whole batch."""
    size = joined_size(x)
    rows = draw_rows(x, min(size, max(MIN_ROWS, ROWS_PER_CODE * num_codes)), generator)
    centres, counts = k_means(rows, spread(rows, num_codes, generator), NUM_ITERATIONS, project)
    return Clusters(take_from_rank_zero(centres), take_from_rank_zero(counts) * (size / len(rows)))


def ask_again(quantizer: Any, _: object) -> None:
    """Let a quantizer look once more whether its codebook has started: after other weights have been loaded."""
    quantizer.has_started = None
