"""What drawing a map costs, in forward passes of the same batch and in runs of the plain loop.

    python -m tests.benchmarks.sampling [NAME ...] [--device cuda] [--threads 2] [--repeats 3]
    python -m tests.benchmarks.sampling fixed_point [--run RUN]
    python -m tests.benchmarks.sampling likelihood [--run RUN]

In float32, where nothing else is said, on a GPU with products in TF32 as `sample.py` computes them. On a busy machine
with a CPU `--threads 1` counts the thread's own CPU time, which neighbours do not take part in.

The plain loop is what public code does: for every position, a forward pass over the rows seen so far (or over
the whole map). It is run in full where that takes seconds, elsewhere it is the sum over rows of one measured
forward pass each, interpolated between some rows. All numbers of a line come from one process.

Of single maps, `readings` compares a position with a bare product of each matrix with a vector, which reads every
weight once. `fixed_point` draws the maps of trained priors both ways: calls of the network, and seconds. `likelihood`
is what weights in bfloat16 change of that of test maps.
"""

import argparse
import math
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from tests.benchmarks.device import add_device, check_device, device_name, elapsed, peak_memory
from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import FixedPoint, Raster, begin, sample_codes
from vqgen.nn.precision import in_bfloat16
from vqgen.nn.priors import Transformer
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.runs.opening import open_trained


class Case(NamedTuple):
    """A network and a map to draw, with the issue's bounds (None where it gives none); `half`: in bfloat16 too."""

    build: Callable[[], nn.Module]
    grid: tuple[int, int]
    batch: int
    most_forwards: float | None = None
    least_loops: float | None = None
    whole_map: bool = False
    half: bool = False


def small(blocks: int, layers: int, k: int = 512) -> PixelSNAIL:
    return PixelSNAIL(k, 0, 64, 64, 5, blocks * layers, blocks, 8, 32)


def large(attention: int, condition_channels: int) -> PixelSNAIL:
    return PixelSNAIL(512, condition_channels, 256, 288, 5, 16, attention, 8, 128, num_output_layers=4)


def transformer(channels: int, layers: int, heads: int, k: int) -> Transformer:
    return Transformer(k, 0, channels, layers, heads, dropout=0.0)


CASES = {
    "snail85m": Case(lambda: large(4, 0), (32, 32), 8, most_forwards=1.5, least_loops=200, half=True),
    "bottom": Case(lambda: large(0, 128), (64, 64), 1, most_forwards=4, least_loops=500),
    "snail16": Case(lambda: small(2, 2), (16, 16), 16, least_loops=100),
    "snail8": Case(lambda: small(4, 4), (8, 8), 16, least_loops=40),
    "gated": Case(lambda: GatedPixelCNN(512), (32, 32), 16, least_loops=250, whole_map=True),
    "snail16 one": Case(lambda: small(2, 2), (16, 16), 1, least_loops=10),
    "snail8 one": Case(lambda: small(4, 4), (8, 8), 1, least_loops=10),
    "gated7 one": Case(lambda: GatedPixelCNN(128), (7, 7), 1, least_loops=10),
    "pixelcnn7 one": Case(lambda: PixelCNN(128), (7, 7), 1, least_loops=10),
    "transformer85m": Case(lambda: transformer(768, 12, 12, 512), (32, 32), 8, most_forwards=1.6, half=True),
    "transformer85m one": Case(lambda: transformer(768, 12, 12, 512), (32, 32), 1, half=True),
    "transformer8": Case(lambda: transformer(64, 4, 4, 128), (8, 8), 64, most_forwards=2),
    "transformer8 one": Case(lambda: transformer(64, 4, 4, 128), (8, 8), 1),
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


def reading_seconds(network: nn.Module, device: str) -> float:
    """Time of a product of each matrix of the network with a vector."""
    matrices = [p for p in network.parameters() if p.dim() == 2]
    vectors = [torch.randn(p.shape[1], device=device) for p in matrices]

    def read() -> None:
        for matrix, vector in zip(matrices, vectors, strict=True):
            matrix @ vector

    return statistics.median(seconds(read, 20, device))


@torch.no_grad()
def report(name: str, case: Case, repeats: int, device: str) -> None:
    """Print one line of ratios."""
    torch.manual_seed(0)
    network = case.build().eval().to(device)
    codes = torch.randint(network.num_embeddings, (case.batch, *case.grid), device=device)
    channels = network.condition_channels
    condition = torch.randn(case.batch, channels, *case.grid, device=device) if channels else None
    draw = partial(sample_codes, network, case.grid, case.batch, condition)
    draw_half = partial(sample_codes, in_bfloat16(network), case.grid, case.batch)
    network(codes, condition)
    if device == "cuda":
        draw()  # so that its kernels are loaded, as those of the forward pass are
    forwards, draws, halves = [], [], []
    for _ in range(repeats):  # turn about, so that both see the same neighbours
        forwards += seconds(lambda: network(codes, condition), 1, device)
        draws += seconds(draw, 1, device)
        halves += seconds(draw_half, 1, device) if case.half else []
    forward, drawing = statistics.median(forwards), statistics.median(draws)
    loop = loop_seconds(network, codes, condition, case)
    parameters = sum(p.numel() for p in network.parameters())
    positions = case.grid[0] * case.grid[1]
    reading = f"  = {drawing / positions / reading_seconds(network, device):.2f} readings" if case.batch == 1 else ""
    ratio = statistics.median(halves) / drawing if halves else 1
    half = f"  in bfloat16 {ratio:.2f} of that = {ratio * drawing / forward:.2f} forwards" if halves else ""
    print(
        f"{name:18s} {parameters / 1e6:6.2f} M  {case.grid[0]}x{case.grid[1]} batch {case.batch:2d}"
        f"  forward {forward:7.3f} s  draw {drawing:7.3f} s (best {min(draws):.3f})"
        f"  {1000 * drawing / positions:6.2f} ms/position{reading}"
        f"  = {drawing / forward:5.2f} forwards (best {min(draws) / min(forwards):.2f}, bound {case.most_forwards})"
        f"{half}"
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


@torch.no_grad()
def report_fixed_point(run: str, repeats: int, device: str) -> None:
    """Print, of each level of trained priors, what its maps cost drawn by position and all at once."""
    trained = open_trained(run, device=device)
    for batch in (1, 16):
        given = {"label": torch.arange(batch) % trained.num_classes} if trained.num_classes else {}
        codes: list[torch.Tensor] = []
        for prior in trained.priors:
            condition, sampler = Condition(codes, given), FixedPoint()
            draws = {kind: partial(prior.sample, batch, condition, sampler=kind) for kind in (Raster(), sampler)}
            maps = [draw() for draw in draws.values()]
            times = [statistics.median(seconds(draw, repeats, device)) for draw in draws.values()]
            level, (height, width) = trained.autoencoder.level_names[prior.level], prior.grid
            print(
                f"{run} {level:6s} {height}x{width} batch {batch:2d}  by position {times[0]:6.3f} s, "
                f"{height * width} steps  fixed point {times[1]:6.3f} s, {sampler.calls} calls  "
                f"{'the same maps' if torch.equal(*maps) else 'OTHER MAPS'}",
                flush=True,
            )
            codes.append(maps[0])


@torch.no_grad()
def report_likelihood(run: str, device: str) -> None:
    """Print, of each level of trained priors, what bfloat16 changes of the likelihood of 1,000 test maps."""
    trained = open_trained(run, device=device)
    for prior in trained.priors:
        half, nats, changes = in_bfloat16(prior), [], []
        for batch in trained.batches(1000):
            codes = trained.coder.encode(batch.x)[: prior.level + 1]
            known = CodeBatch(codes, batch.given, batch.index)
            nats.append(prior.nll(known))
            changes.append(half.nll(known) - nats[-1])
        change = torch.cat(changes)
        error = change.mean((1, 2)).std() / math.sqrt(len(change))
        print(
            f"{run} {trained.levels[prior.level]:6s} {torch.cat(nats).mean():.4f} nats per code, in bfloat16 "
            f"{change.mean():+.5f} (standard error {error:.5f}), of one code {change.abs().mean():.4f} up or down",
            flush=True,
        )


def main(words: list[str] | None = None) -> None:
    """Print the lines asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ["memory", "fixed_point", "likelihood", *CASES]
    parser.add_argument("names", nargs="*", default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--run", nargs="*", default=["fashion_vqvae_transformer", "fashion_vqvae2_transformer"])
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
        elif name == "likelihood":
            for run in options.run:
                report_likelihood(run, options.device)
        elif name == "fixed_point":
            for run in options.run:
                report_fixed_point(run, options.repeats, options.device)
        else:
            report(name, CASES[name], options.repeats, options.device)


if __name__ == "__main__":
    main()
