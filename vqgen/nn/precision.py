"""Full precision, where rounding would decide what is near or what is left of a difference."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_float32() -> Iterator[None]:
    """A context in which a GPU does not round products of float32 to the 10 bits of TF32, as it may elsewhere."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def float64(x: Tensor) -> Tensor:
    """The numbers in double precision; on the CPU where the device, a GPU of Apple, has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()
