"""The device that a benchmark runs on, and its clock and memory."""

import argparse
import time
from collections.abc import Callable

import torch


def add_device(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option --device."""
    present = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=present, help=f"{present} by default here")


def check_device(parser: argparse.ArgumentParser, device: str) -> None:
    """End the program with a line where the device is not there."""
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here")


def device_name(device: str) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def elapsed(work: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that some work takes, with all that it asks of the device done."""
    wait_for(device)
    start = clock()
    work()
    wait_for(device)
    return clock() - start


def wait_for(device: str) -> None:
    """Until the device has done what was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_memory(work: Callable[[], object]) -> int:
    """Bytes that tensors take on the GPU at the peak of some work, those from before included."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()
