"""The search for the code vector that is nearest, or whose product is largest."""

from contextlib import nullcontext
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor, library
from torch.nn import functional as F

from vqgen.nn.precision import full_float32

# Numbers held at a time: 4 MB on a CPU, where they stay in the cache, 256 MB on a GPU.
CHUNK_ELEMENTS = {"cpu": 2**20, "cuda": 2**26}

BLOCK = 64
"""Columns of which the smallest number is found first: without its index that is several times as fast."""


@torch.no_grad()
def nearest_vectors(
    x: Float[Tensor, "n d"], vectors: Float[Tensor, "k d"], costs: Float[Tensor, " k"] | None = None
) -> Int[Tensor, " n"]:
    """Index of the vector closest to each row of `x`; the lowest index of those equally close.

    `costs` are added to the squared distances of each vector.

    |x|^2 is the same for all vectors and left out: argmin |x - e|^2 = argmin |e|^2 / 2 - x . e, which is one product of
    (x, 1) and (-e, |e|^2 / 2). All are moved by the mean of the vectors first, as products of numbers far from zero
    have no digits left for distances. A GPU does not round them to TF32.
    """
    centre = vectors.mean(dim=0)
    moved = centre - vectors
    half_norms = moved.square().sum(dim=1) / 2
    half_norms = half_norms if costs is None else half_norms + costs / 2
    columns = torch.cat([moved, half_norms[:, None]], dim=1)
    return _smallest_product(x, columns, centre)


@torch.no_grad()
def largest_product(x: Float[Tensor, "n d"], vectors: Float[Tensor, "k d"]) -> Int[Tensor, " n"]:
    """Index of the vector whose product with each row of `x` is the largest; the lowest index of equal ones."""
    return _smallest_product(x, -vectors)


def vectors_at_a_time(codebook: Float[Tensor, "k d"]) -> int:
    """How many vectors to take at a time where each needs a number for each code."""
    return max(64, CHUNK_ELEMENTS.get(codebook.device.type, 2**20) // len(codebook))


def _smallest_product(
    x: Float[Tensor, "n d"], columns: Float[Tensor, "k c"], centre: Float[Tensor, " d"] | None = None
) -> Int[Tensor, " n"]:
    """Of each row less the centre, with a 1 behind it where columns have one number more."""
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():  # a program for others has torch alone
        return _when_compiled(x, columns, centre)
    with full_float32() if x.is_cuda else nullcontext():
        return _by_chunks(x, columns, centre)


@library.custom_op(
    "vqgen::smallest_product", mutates_args=(), schema="(Tensor x, Tensor columns, Tensor? centre) -> Tensor"
)
def _when_compiled(x: Tensor, columns: Tensor, centre: Tensor | None) -> Tensor:
    """One operation for torch.compile, which can trace neither a change of precision nor writing into a part."""
    if x.is_cuda and x.dtype == columns.dtype == torch.float32 and find_spec("triton"):
        from vqgen.nn.quantize import fused

        return fused.smallest_product(x, columns, centre)
    return _smallest_product(x, columns, centre)


@_when_compiled.register_fake
def _(x: Tensor, columns: Tensor, centre: Tensor | None) -> Tensor:
    return x.new_empty(len(x), dtype=torch.long)


def _by_chunks(
    x: Float[Tensor, "n d"], columns: Float[Tensor, "k c"], centre: Float[Tensor, " d"] | None
) -> Int[Tensor, " n"]:
    """Rows of `x` are taken in chunks through one buffer, so that n x k products are never in memory at once."""
    number, chunk = len(columns), vectors_at_a_time(columns)
    if number > BLOCK and number % BLOCK:
        columns = torch.cat([columns, columns[: -number % BLOCK]])  # the same again, so that blocks are whole
    products = x.new_empty(min(chunk, len(x)), len(columns))
    found = torch.empty(len(x), dtype=torch.long, device=x.device)
    for part, codes in zip(x.split(chunk), found.split(chunk), strict=True):
        if centre is not None:
            part = F.pad(part - centre, (0, 1), value=1.0)
        torch.mm(part, columns.T, out=products[: len(part)])
        codes.copy_(_first_smallest(products[: len(part)]))
    return found if len(columns) == number else found.remainder_(number)


def _first_smallest(numbers: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    """Index of the first smallest number of each row."""
    if numbers.shape[1] <= 2 * BLOCK:
        return numbers.min(dim=1).indices
    blocks = numbers.unflatten(1, (-1, BLOCK))
    block = blocks.amin(dim=2).min(dim=1).indices
    first = torch.arange(len(blocks), device=blocks.device) * blocks.shape[1]
    inside = blocks.flatten(0, 1).index_select(0, first + block)
    return block * BLOCK + inside.min(dim=1).indices
