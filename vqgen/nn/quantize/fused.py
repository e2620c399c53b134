"""The search for code vectors as one kernel of Triton: no product of a row and a code ever lies in memory."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

ROWS, CODES, NUMBERS = 64, 64, 32
"""Rows and codes of a tile, and how many numbers of their vectors are multiplied at a time."""


def smallest_product(
    x: Float[Tensor, "n d"], columns: Float[Tensor, "k c"], centre: Float[Tensor, " d"] | None
) -> Int[Tensor, " n"]:
    """Index of the vector of the smallest product with each row of `x`; the lowest index of equal ones.

    With a `centre` the rows are moved by it, and the last number of a column is added to its product. Products are
    those of float32, not of TF32. A row with a NaN has some code. All is float32.
    """
    x, columns = x.contiguous(), columns.contiguous()
    found = torch.empty(len(x), dtype=torch.long, device=x.device)
    moved = centre is not None
    place = centre if centre is not None else x
    grid = (triton.cdiv(len(x), ROWS),)
    if len(x):
        _search[grid](
            x, columns, place, found, len(x), *columns.shape, x.shape[1], moved, ROWS=ROWS, CODES=CODES, NUMBERS=NUMBERS
        )
    return found


@triton.jit
def _search(
    x,
    columns,
    centre,
    found,
    num_rows,
    num_codes,
    width,
    dim,
    MOVED: tl.constexpr,
    ROWS: tl.constexpr,
    CODES: tl.constexpr,
    NUMBERS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    best = tl.full((ROWS,), float("inf"), tl.float32)
    code = tl.zeros((ROWS,), tl.int64)
    for start in range(0, num_codes, CODES):
        column = start + tl.arange(0, CODES)
        products = tl.zeros((ROWS, CODES), tl.float32)
        for first in range(0, dim, NUMBERS):
            number = first + tl.arange(0, NUMBERS)
            there = number < dim
            of_x = tl.load(
                x + row[:, None] * dim + number[None, :], (row[:, None] < num_rows) & there[None, :], other=0.0
            )
            if MOVED:
                of_x -= tl.load(centre + number, there, other=0.0)[None, :]
            of_codes = tl.load(
                columns + column[None, :].to(tl.int64) * width + number[:, None],
                (column[None, :] < num_codes) & there[:, None],
                other=0.0,
            )
            products = tl.dot(of_x, of_codes, products, input_precision="ieee")
        if MOVED:
            products += tl.load(columns + column.to(tl.int64) * width + dim, column < num_codes, other=0.0)[None, :]
        products = tl.where((column < num_codes)[None, :], products, float("inf"))
        smallest, index = tl.min(products, 1, return_indices=True)
        nearer = smallest < best
        best = tl.where(nearer, smallest, best)
        code = tl.where(nearer, start + index, code)
    tl.store(found + row, code, row < num_rows)
