"""Nearest neighbours among feature vectors, by Euclidean distance, without ever holding all distances."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.precision import float64, full_float32

CHUNK_DISTANCES = 2**22  # distances held at a time: 32 MiB
ROUNDING = 1e-12  # of squared distances, relative to squared lengths: closer ones are the same


class Neighbors(NamedTuple):
    """The k nearest references of each query, nearest first: distances and indices."""

    distance: Float[Tensor, "n k"]
    index: Int[Tensor, "n k"]  # type: ignore[assignment]  # a field, not tuple.index


def nearest(queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], k: int) -> Neighbors:
    """The k nearest references of each query; ValueError for fewer than k references."""
    if len(references) < k:
        raise ValueError(f"{k} nearest neighbours of {len(references)} references: there are too few")
    parts = [squared.topk(k, largest=False) for _, squared in squared_distances(queries, references)]
    distance, index = (torch.cat(part).to(queries.device) for part in zip(*parts, strict=True))
    return Neighbors(distance.sqrt().to(queries.dtype), index)


def squared_radii(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, " n"]:
    """Squared distance of each vector to the k-th nearest of the others; ValueError for fewer than k others."""
    if len(x) <= k:
        raise ValueError(f"{len(x)} feature vectors have no {k} nearest neighbours each: give more than {k}")
    parts = []
    for start, squared in squared_distances(x, x):
        rows = torch.arange(len(squared), device=squared.device)
        squared[rows, start + rows] = torch.inf  # a vector is no neighbour of itself; a duplicate of it is
        parts.append(squared.topk(k, largest=False).values[:, -1])  # several times faster than kthvalue
    return torch.cat(parts)


class Balls(NamedTuple):
    """Around each reference: squared distances up to `inner` are inside, those above that and up to `outer` at the rim.

    The two are the squared radius less, and plus, what rounding may do to a distance.
    """

    inner: Float[Tensor, " m"]
    outer: Float[Tensor, " m"]


def balls(references: Float[Tensor, "m d"], k: int) -> Balls:
    """Balls that reach to the k-th nearest of the other references, which is at the rim; ValueError for k or fewer."""
    squared, vectors = squared_radii(references, k), float64(references)
    rounding = ROUNDING * (squared + (vectors - vectors.mean(0)).square().sum(1))
    return Balls(squared - rounding, squared + rounding)


def squared_distances(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"]
) -> Iterator[tuple[int, Float[Tensor, "_ m"]]]:
    """Squared distances of some queries at a time to all references, with the number of the first query.

    They are in double precision, and of vectors moved by the references' mean: |q|^2 - 2 q.r + |r|^2 loses digits when
    vectors lie far from zero. The tensor is overwritten by the next one.
    """
    centre = float64(references).mean(0)
    queries, references = float64(queries) - centre, float64(references) - centre
    norms = references.square().sum(1)
    rows = max(1, CHUNK_DISTANCES // max(1, len(references)))
    buffer = references.new_empty(min(rows, len(queries)), len(references))
    for start in range(0, len(queries), rows):
        part = queries[start : start + rows]
        with full_float32():
            squared = torch.addmm(norms, part, references.T, alpha=-2, out=buffer[: len(part)])
        yield start, squared.add_(part.square().sum(1, keepdim=True)).clamp_(min=0)
