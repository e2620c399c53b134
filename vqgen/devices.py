"""Which process this is, of how many, and on which device it computes: the one place that is asked.

The device of a training is the one that its trainer's strategy gives to each rank, and so what `hardware` says; that of
a task is what `device=` says. Everything else asks the tensors that it is given.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from vqgen.environment.launcher import local_rank
from vqgen.errors import ConfigError, near_miss

WORDS = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps")


class Place(NamedTuple):
    """This process among those that train together."""

    rank: int
    world_size: int


def place() -> Place:
    """Rank and world size of the processes that have joined; the only process where none have."""
    if dist.is_available() and dist.is_initialized():
        return Place(dist.get_rank(), dist.get_world_size())
    return Place(0, 1)


def num_gpus() -> int:
    """How many CUDA GPUs this process sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_bfloat16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether this CPU computes in bfloat16 itself; None where the system does not say."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return None
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return None if flags is None else bool({"amx_bf16", "avx512_bf16", "bf16"} & {*flags[1].split()})


def is_slow_in_bfloat16(device: torch.device) -> bool:
    """Whether this is a CPU that says it has no bfloat16 units."""
    return device.type == "cpu" and has_bfloat16_units() is False


def device_of(choice: str | torch.device) -> torch.device:
    """The device that `device=` names.

    Args:
        choice: `cpu`, `cuda:1`, `mps`, `cuda` (the GPU of this process), or `auto`: that GPU where there is one,
            otherwise the CPU. A torch.device is taken as it is.

    Raises:
        ConfigError: there is no such word, or no such device here.
    """
    if isinstance(choice, torch.device):
        return choice
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(choice)):
        raise ConfigError(f"device={choice}: there is no such device{near_miss(str(choice), WORDS)}")
    number = num_gpus()
    if choice == "cpu" or (choice == "auto" and not number):
        return torch.device("cpu")
    if choice == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device=mps: torch finds no GPU of Apple here; take cpu or auto")
        return torch.device("mps")
    if not number:
        raise ConfigError(f"device={choice}: torch finds no CUDA GPU here; take cpu or auto")
    index = int(choice.partition(":")[2] or local_rank() % number)
    if index >= number:
        raise ConfigError(f"device={choice}: this machine has {number} CUDA GPUs, from cuda:0 to cuda:{number - 1}")
    return torch.device("cuda", index)


def rng_state(device: torch.device) -> Tensor | None:
    """State of the random numbers that a GPU has of its own; None for a device that draws with the CPU's."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def set_rng_state(state: Tensor, device: torch.device) -> None:
    """Go on with the random numbers of `rng_state` on a device of the same kind."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.mps.set_rng_state(state)


@contextmanager
def fork_rng(device: torch.device) -> Iterator[None]:
    """A context after which the random numbers of the CPU and of this device go on as if nothing had been drawn."""
    with torch.random.fork_rng([]):
        state = rng_state(device)
        try:
            yield
        finally:
            if state is not None:
                set_rng_state(state, device)
