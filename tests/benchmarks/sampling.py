"""What drawing a map costs, in forward passes of the same batch and in runs of the plain loop.

    python -m tests.benchmarks.sampling [NAME ...] [--device cuda] [--threads 2] [--repeats 3]

In float32, on a GPU with products in TF32 as `sample.py` computes them. On a busy machine with a CPU `--threads 1`
counts the thread's own CPU time, which neighbours do not take part in.

The plain loop is what public code does: for every position, a forward pass over the rows seen so far (or over
the whole map). It is run in full where that takes seconds, elsewhere it is the sum over rows of one measured
forward pass each, interpolated between some rows. All numbers of a line come from one process.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from tests.benchmarks.device import add_device, check_device, device_name, elapsed, peak_memory
from vqgen.drawing import begin, sample_codes
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL


class Case(NamedTuple):
    """A network and a map to draw, with the issue's bounds (None where it gives none)."""

    build: Callable[[], nn.Module]
    grid: tuple[int, int]
    batch: int
    most_forwards: float | None = None
    least_loops: float | None = None
    whole_map: bool = False


def small(blocks: int, layers: int, k: int = 512) -> PixelSNAIL:
    return PixelSNAIL(k, 0, 64, 64, 5, blocks * layers, blocks, 8, 32)


def large(attention: int, condition_channels: int) -> PixelSNAIL:
    return PixelSNAIL(512, condition_channels, 256, 288, 5, 16, attention, 8, 128, num_output_layers=4)


CASES = {
    "snail85m": Case(lambda: large(4, 0), (32, 32), 8, most_forwards=1.5, least_loops=200),
    "bottom": Case(lambda: large(0, 128), (64, 64), 1, most_forwards=4, least_loops=500),
    "snail16": Case(lambda: small(2, 2), (16, 16), 16, least_loops=100),
    "snail8": Case(lambda: small(4, 4), (8, 8), 16, least_loops=40),
    "gated": Case(lambda: GatedPixelCNN(512), (32, 32), 16, least_loops=250, whole_map=True),
    "snail16 one": Case(lambda: small(2, 2), (16, 16), 1, least_loops=10),
    "snail8 one": Case(lambda: small(4, 4), (8, 8), 1, least_loops=10),
    "gated7 one": Case(lambda: GatedPixelCNN(128), (7, 7), 1, least_loops=10),
    "pixelcnn7 one": Case(lambda: PixelCNN(128), (7, 7), 1, least_loops=10),
    "pixelcnn7": Case(lambda: PixelCNN(128), (7, 7), 64, least_loops=10),
}


def seconds(work: Callable[[], object], repeats: int, device: str) -> list[float]:
    """Time of each of some runs: of the clock on the wall, or with one thread of a CPU that thread's own."""
    one_thread = device == "cpu" and torch.get_num_threads() == 1
    return [elapsed(work, device, time.thread_time if one_thread else time.perf_counter) for _ in range(repeats)]


def loop_seconds(network: nn.Module, codes: torch.Tensor, condition: torch.Tensor | None, case: Case) -> float:
    """Time of the plain loop: the forward over the first rows, for every position of the last of them."""
    height, width = case.grid

    def forward(rows: int) -> float:
        part = None if condition is None else condition[:, :, :rows]
        return min(seconds(lambda: network(codes[:, :rows], part), 3, codes.device.type))

    if case.whole_map:
        return height * width * forward(height)
    measured = sorted({*np.linspace(1, height, min(height, 8)).astype(int).tolist()})
    return float(width * np.interp(range(1, height + 1), measured, [forward(r) for r in measured]).sum())


@torch.no_grad()
def report(name: str, case: Case, repeats: int, device: str) -> None:
    """Print one line of ratios."""
    torch.manual_seed(0)
    network = case.build().eval().to(device)
    codes = torch.randint(network.num_embeddings, (case.batch, *case.grid), device=device)
    channels = network.condition_channels
    condition = torch.randn(case.batch, channels, *case.grid, device=device) if channels else None
    draw = lambda: sample_codes(network, case.grid, case.batch, condition)  # noqa: E731
    network(codes, condition)
    if device == "cuda":
        draw()  # so that its kernels are loaded, as those of the forward pass are
    forwards, draws = [], []
    for _ in range(repeats):  # turn about, so that both see the same neighbours
        forwards += seconds(lambda: network(codes, condition), 1, device)
        draws += seconds(draw, 1, device)
    forward, drawing = statistics.median(forwards), statistics.median(draws)
    loop = loop_seconds(network, codes, condition, case)
    parameters = sum(p.numel() for p in network.parameters())
    print(
        f"{name:14s} {parameters / 1e6:6.2f} M  {case.grid[0]}x{case.grid[1]} batch {case.batch:2d}"
        f"  forward {forward:7.3f} s  draw {drawing:7.3f} s (best {min(draws):.3f})"
        f"  {1000 * drawing / (case.grid[0] * case.grid[1]):6.2f} ms/position"
        f"  = {drawing / forward:5.2f} forwards (best {min(draws) / min(forwards):.2f}, bound {case.most_forwards})"
        f"  loop {loop:8.1f} s = {loop / drawing:5.0f} x (bound {case.least_loops})",
        flush=True,
    )


@torch.no_grad()
def report_memory(device: str) -> None:
    """Print what drawing 16 maps with the 85 M model takes beyond the weights, at its peak."""
    network = large(4, 0).eval().to(device)
    sample_codes(network, (1, 1), 1)

    def draw_some() -> None:
        state = begin(network, 16, (32, 32))
        for _ in range(40):
            state.push(state.logits().argmax(1))

    if device == "cuda":
        before = torch.cuda.memory_allocated()
        grown = (peak_memory(draw_some) - before) / 2**20
    else:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        draw_some()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"memory         85 M, 32x32 batch 16: {grown:.0f} MiB over the weights at the peak (bound 400 MB)")


def main(words: list[str] | None = None) -> None:
    """Print the lines asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["memory", *CASES], help=f"of memory, {', '.join(CASES)}")
    add_device(parser)
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(words)
    check_device(parser, options.device)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")  # as vqgen.experiment does
    print(f"{device_name(options.device)}, torch {torch.__version__}")
    for name in options.names:
        if name == "memory":
            report_memory(options.device)
        else:
            report(name, CASES[name], options.repeats, options.device)


if __name__ == "__main__":
    main()
