"""Collectives over the ranks of a job: sums, means and rows of the joined batch, and objects."""

from itertools import accumulate
from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

from vqgen.devices import place

T = TypeVar("T")


def world_size() -> int:
    """Number of processes that share the batch; 1 outside of a distributed job."""
    return place().world_size


def rank() -> int:
    """Number of this process among them, from 0."""
    return place().rank


def sum_over_ranks(*tensors: Tensor) -> list[Tensor]:
    """Each tensor summed over all ranks, in one all-reduce for all of them. They share type and device."""
    if world_size() == 1:
        return list(tensors)
    fused = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(fused)
    parts = fused.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


@torch.compiler.disable  # it cannot trace a collective that has a gradient
def mean_over_ranks(mean: Float[Tensor, "*n"], size: int) -> Float[Tensor, "*n"]:
    """The mean over the rows of the joined batch, from the mean over this rank's `size` rows.

    The gradient is that of the sum of what all ranks make of the result, as DistributedDataParallel expects it.
    """
    if world_size() == 1:
        return mean
    total = _Sum.apply(torch.cat([mean.flatten() * size, mean.new_full((1,), size)]))
    return (total[:-1] / total[-1]).view_as(mean)


class _Sum(torch.autograd.Function):
    """The sum over all ranks, and of all ranks' gradients."""

    @staticmethod
    def forward(ctx, mine: Tensor) -> Tensor:
        """All ranks have the same sum."""
        return sum_over_ranks(mine)[0]

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        """Each rank's part has a gradient by what every rank makes of the sum."""
        return sum_over_ranks(grad)[0]


def take_from_rank_zero(tensor: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """The tensor of rank 0, in place of this rank's, which is overwritten."""
    if world_size() > 1:
        _broadcast(tensor)
    return tensor


@torch.compiler.disable  # unlike an all-reduce, torch.compile cannot trace it
def _broadcast(tensor: Tensor) -> None:
    dist.broadcast(tensor, src=0)


def draw_rows(x: Float[Tensor, "n d"], num_rows: int, generator: torch.Generator) -> Float[Tensor, "{num_rows} d"]:
    """Rows drawn from the joined batch: the same rows on every rank.

    The draw is without replacement while there are rows left, and depends on `generator` (a CPU generator in
    the same state on every rank) and the joined batch alone, not on how the batch is split.
    """
    sizes = _sizes(len(x), x.device)
    starts = [0, *accumulate(sizes)]
    index = torch.randperm(starts[-1], generator=generator)[torch.arange(num_rows) % starts[-1]].to(x.device)
    if len(sizes) == 1:
        return x[index]
    start = starts[rank()]
    here = (index >= start) & (index < start + len(x))
    rows = x.new_zeros(num_rows, x.shape[1])
    rows[here] = x[index[here] - start]
    return sum_over_ranks(rows)[0]


def joined_size(x: Float[Tensor, "n d"]) -> int:
    """Number of rows of the batch joined over all ranks."""
    return sum(_sizes(len(x), x.device))


def _sizes(mine: int, device: torch.device) -> list[int]:
    """Rows of each rank."""
    if world_size() == 1:
        return [mine]
    sizes = torch.zeros(world_size(), dtype=torch.long, device=device)
    sizes[rank()] = mine
    return sum_over_ranks(sizes)[0].tolist()


def of_all_ranks(mine: T) -> list[T]:
    """The objects of all ranks, in order of rank."""
    gathered = [mine] * world_size()
    if len(gathered) > 1:
        dist.all_gather_object(gathered, mine)
    return gathered
