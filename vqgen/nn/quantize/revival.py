"""Which vectors of a batch the codes that died are put on, decided without a look from the host."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.distributed import rank, sum_over_ranks, world_size

_BITS = 0xFFFFFFFF
_APART = 0x9E3779B1


def draw_by_error(
    x: Float[Tensor, "n d"],
    errors: Float[Tensor, " n"],
    number: int,
    key: Int[Tensor, ""],
    parts: Sequence[int] = (),
) -> tuple[Float[Tensor, "{number} d"], Int[Tensor, ""]]:
    """Rows drawn from the joined batch without replacement, with odds of their errors, and how many there are.

    A row with error w has the number -log(1 - u) / w, and the smallest numbers are drawn (Efraimidis & Spirakis 2006,
    doi 10.1016/j.ipl.2005.11.003). The uniform u is a hash of `key` and of the row's place in the joined batch, so that
    the draw is the same on every rank, on any number of them, and on any device. Nothing is read back from a device.

    Args:
        x: rows of this rank.
        errors: of each row; not negative.
        number: how many to draw; if the joined batch has fewer, the rest is zeros.
        key: another one draws otherwise.
        parts: sizes of the micro-batches in `x`, as many on every rank; left out, it is one. The joined batch is one
            micro-batch of all ranks after the other.
    """
    errors = errors.nan_to_num(posinf=0.0)  # of a run that diverges: its loss, a moment later, is what is told
    waits = -torch.log1p(-_uniform(_places(parts or [len(x)], x.device), key)) / errors.clamp(min=1e-30)
    mine, rows = waits.topk(min(number, len(x)), largest=False)
    waits, rows = _joined(mine, x[rows], number)
    return rows, waits.isfinite().sum()


def _joined(
    waits: Float[Tensor, " m"], rows: Float[Tensor, "m d"], number: int
) -> tuple[Float[Tensor, " {number}"], Float[Tensor, "{number} d"]]:
    """The first of all ranks' rows, padded to `number`."""
    every_wait = waits.new_zeros(world_size(), number)
    every_row = rows.new_zeros(world_size(), number, rows.shape[1])
    every_wait[rank()] = torch.inf
    every_wait[rank(), : len(waits)], every_row[rank(), : len(rows)] = waits, rows
    every_wait, every_row = sum_over_ranks(every_wait, every_row)
    first, where = every_wait.flatten().topk(number, largest=False)
    return first, every_row.flatten(0, 1)[where]


def _places(parts: Sequence[int], device: torch.device) -> Int[Tensor, " n"]:
    """The place of each row of this rank in the joined batch."""
    if world_size() == 1:
        return torch.arange(sum(parts), device=device)
    sizes = torch.zeros(len(parts), world_size(), dtype=torch.long, device=device)
    sizes[:, rank()] = torch.tensor(list(parts), device=device)
    (sizes,) = sum_over_ranks(sizes)
    starts = (sizes.flatten().cumsum(0) - sizes.flatten()).view_as(sizes)[:, rank()]
    return torch.cat([start + torch.arange(n, device=device) for start, n in zip(starts, parts, strict=True)])


def _uniform(places: Int[Tensor, " n"], key: Int[Tensor, ""]) -> Float[Tensor, " n"]:
    """A number in (0, 1) for each place, of a hash of 32 bits: the small ones, which decide, to float32's precision."""
    return ((_mixed(places ^ _mixed(key * _APART & _BITS)) + 0.5) / 2**32).clamp(max=1 - 2**-24)


def _mixed(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """A permutation of 32 bits that leaves no pattern (multiplications, and shifts that fold high bits into low)."""
    x = (x ^ x >> 16) * 0x7FEB352D & _BITS
    x = (x ^ x >> 15) * 0x846CA68B & _BITS
    return x ^ x >> 16
