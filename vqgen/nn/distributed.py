"""What the processes of a job have together: sums and rows of a batch (one process: the batch itself), and objects."""

from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

from vqgen.devices import place


def world_size() -> int:
    """Number of processes that share the batch; 1 outside of a distributed job."""
    return place().world_size


def sum_over_ranks(*tensors: Tensor) -> list[Tensor]:
    """Each tensor summed over all ranks, in one all-reduce for all of them. They share type and device."""
    if world_size() == 1:
        return list(tensors)
    fused = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(fused)
    parts = fused.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def take_from_rank_zero(tensor: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """The tensor of rank 0, in place of this rank's, which is overwritten."""
    if world_size() > 1:
        _broadcast(tensor)
    return tensor


@torch.compiler.disable   # unlike an all-reduce, torch.compile cannot take it in
def _broadcast(tensor: Tensor) -> None:
    dist.broadcast(tensor, src=0)


def draw_rows(
    x: Float[Tensor, "n d"], num_rows: int, generator: torch.Generator
) -> Float[Tensor, "{num_rows} d"]:
    """Rows drawn from the batch joined over all ranks, in rank order: the same rows on every rank.

    The draw is without replacement while there are rows left, and depends on `generator` (a CPU generator in
    the same state on every rank) and the joined batch alone, not on how the batch is split over ranks.
    """
    sizes = _sizes(x)
    total = sum(sizes)
    index = torch.randperm(total, generator=generator)[torch.arange(num_rows) % total].to(x.device)
    if len(sizes) == 1:
        return x[index]
    local = index - [0, *accumulate(sizes)][place().rank]
    mine = (local >= 0) & (local < len(x))
    rows = x.new_zeros(num_rows, x.shape[1])
    rows[mine] = x[local[mine]]
    return sum_over_ranks(rows)[0]


def joined_size(x: Float[Tensor, "n d"]) -> int:
    """Number of rows of the batch joined over all ranks."""
    return sum(_sizes(x))


def _sizes(x: Tensor) -> list[int]:
    if world_size() == 1:
        return [len(x)]
    sizes = torch.zeros(world_size(), dtype=torch.long, device=x.device)
    sizes[place().rank] = len(x)
    dist.all_reduce(sizes)
    return sizes.tolist()


def of_all_ranks(mine: Any) -> list[Any]:
    """What every process has, in order of rank."""
    if world_size() == 1:
        return [mine]
    everyones: list[Any] = [None] * world_size()
    dist.all_gather_object(everyones, mine)
    return everyones
