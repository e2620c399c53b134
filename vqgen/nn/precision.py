"""Full precision, where rounding would decide what is near or what is left of a difference, and half elsewhere."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def full_float32() -> Iterator[None]:
    """A context in which a GPU does not round products of float32 to the 10 bits of TF32, as it may elsewhere."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def in_bfloat16(module: Module) -> Module:
    """A copy with its weights in bfloat16: half the bytes to read, and 8 bits of each number."""
    cast: dict[int, Tensor]
    cast = {id(p): nn.Parameter(p.detach().bfloat16(), requires_grad=False) for p in module.parameters()}
    cast |= {id(b): b.bfloat16() if b.is_floating_point() else b for b in module.buffers()}
    return copy.deepcopy(module, cast)  # which takes those, and copies no weight in float32


def at_least_float32(x: Tensor) -> Tensor:
    """The numbers in float32 where they are of half precision, and as they are where not."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def float64(x: Tensor) -> Tensor:
    """The numbers in double precision; on the CPU where the device, a GPU of Apple, has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()
