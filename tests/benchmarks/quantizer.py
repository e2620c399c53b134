"""Time and memory of the EMA quantizer, against a naive one and against vector-quantize-pytorch.

    python -m tests.benchmarks.quantizer
    python -m tests.benchmarks.quantizer --kinds       every quantizer that the package has too, time alone

One step is: quantize a feature map in training mode, go backward with a given gradient, update the averages.
Times are the fastest of some rounds in which the implementations take turns, in one process, on two threads.
Memory is the rise of the process's resident high-water mark over one step, each in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from os import getloadavg
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.quantizer_table import PEERS, Job
from tests.conftest import composed
from vqgen.nn.quantize import EMAQuantizer, Quantization, Quantizer
from vqgen.optim import weighted
from vqgen.runs.allow_list import OWN
from vqgen.runs.checkpoint import build as made_of

DIM = 64
ROUNDS = 7
IMPLEMENTATIONS = ["vqgen", "naive", "vector-quantize-pytorch"]


class Size(NamedTuple):
    """A codebook, the maps it quantizes, and the targets: how often better than the package, than the product."""

    num_embeddings: int
    maps: tuple[int, int, int]
    faster: float
    smaller: float
    products: float


SIZES = [Size(512, (32, 64, 64), 6, 5, 2), Size(8192, (8, 64, 64), 8, 20, 1.2)]


class NaiveQuantizer(nn.Module):
    """The textbook form: all distances, a one-hot matrix, and matrix products with it."""

    def __init__(self, codebook: Tensor):
        super().__init__()
        self.num_embeddings = len(codebook)
        self.register_buffer("codebook", codebook.clone())
        self.register_buffer("counts", torch.ones(len(codebook)))
        self.register_buffer("sums", codebook.clone())

    def rows(self, z_e: Tensor) -> Tensor:
        return z_e.permute(0, 2, 3, 1).reshape(-1, DIM)

    def nearest(self, x: Tensor) -> Tensor:
        distances = x.square().sum(1, keepdim=True) + self.codebook.square().sum(1) - 2 * x @ self.codebook.T
        return distances.argmin(dim=1)

    def forward(self, z_e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, d, h, w = z_e.shape
        x = self.rows(z_e)
        codes = self.nearest(x)
        one_hot = F.one_hot(codes, self.num_embeddings).float()
        z_q = one_hot @ self.codebook
        loss = 0.25 * F.mse_loss(x, z_q.detach())
        self.update(x.detach(), one_hot)
        return (x + (z_q - x).detach()).view(b, h, w, d).permute(0, 3, 1, 2), codes, loss

    def update(self, x: Tensor, one_hot: Tensor) -> None:
        self.counts.mul_(0.99).add_(one_hot.sum(0), alpha=0.01)
        self.sums.mul_(0.99).add_(one_hot.T @ x, alpha=0.01)
        total = self.counts.sum()
        smoothed = (self.counts + 1e-5) / (total + self.num_embeddings * 1e-5) * total
        self.codebook.copy_(self.sums / smoothed[:, None])


def build(name: str, codebook: Tensor) -> nn.Module:
    """An implementation in training mode, past its start, with the given codebook."""
    if name == "naive":
        return NaiveQuantizer(codebook)
    if name == "vqgen":
        quantizer = EMAQuantizer(*codebook.shape, warmup=1)
        quantizer.codebook.copy_(codebook)
        quantizer.sums.copy_(codebook)
        quantizer.num_updates += 1
        return quantizer
    from vector_quantize_pytorch import VectorQuantize

    quantizer = VectorQuantize(
        DIM,
        len(codebook),
        decay=0.99,
        commitment_weight=0.25,
        rotation_trick=False,
        accept_image_fmap=True,
    )
    quantizer._codebook.embed.data.copy_(codebook[None])
    quantizer._codebook.embed_avg.data.copy_(codebook[None])
    quantizer._codebook.cluster_size.data.fill_(1)
    return quantizer


def step(quantizer: nn.Module, z_e: Tensor, gradient: Tensor) -> None:
    """Forward, backward, update."""
    z_e.grad = None
    made = quantizer(z_e)
    if isinstance(made, Quantization):
        assert isinstance(quantizer, Quantizer)
        losses = [weighted(made.losses, quantizer.loss_weights).loss] if made.losses else []
        z_q = made.z_q
    else:
        z_q, _, loss = made
        losses = [loss.sum()]
    torch.autograd.backward([z_q, *losses], [gradient, *[None] * len(losses)])


class Inputs(NamedTuple):
    """Feature map, gradient that comes back to z_q, codebook."""

    z_e: Tensor
    gradient: Tensor
    codebook: Tensor


def inputs(size: Size, seed: int = 0) -> Inputs:
    """Made from normal noise."""
    generator = torch.Generator().manual_seed(seed)
    b, h, w = size.maps
    z_e, gradient = (torch.randn(b, DIM, h, w, generator=generator) for _ in range(2))
    codebook = torch.randn(size.num_embeddings, DIM, generator=generator)
    return Inputs(z_e.requires_grad_(), gradient, codebook)


def seconds(functions: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Fastest time of each function, taking turns, after one call that does not count."""
    best = dict.fromkeys(functions, float("inf"))
    for turn in range(ROUNDS + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def high_water_bytes() -> int:
    """The resident high-water mark of this process."""
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(status.split()[0]) * 1024


def measure_memory(name: str, size: Size) -> int:
    """Bytes by which one step raises the resident memory at its peak (run in a fresh process)."""
    z_e, gradient, codebook = inputs(size)
    quantizer = build(name, codebook)
    step(quantizer, z_e[:1, :, :8, :8].detach().requires_grad_(), gradient[:1, :, :8, :8])
    Path("/proc/self/clear_refs").write_text("5")
    before = high_water_bytes()
    step(quantizer, z_e, gradient)
    return high_water_bytes() - before


def memory(name: str, size: Size) -> int:
    """`measure_memory` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.quantizer", "--memory", name, str(size.num_embeddings)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def agreement(size: Size) -> tuple[int, int, float]:
    """Over 20 updates from one state: codes that differ from the naive ones, of how many, and the relative
    distance of the two codebooks at the end.

    Codes differ where rounding decides between two equally close vectors; the naive averages are given our
    codes, so that the comparison of codebooks is one of the averages.
    """
    codebook = inputs(size).codebook
    ours, naive = build("vqgen", codebook), build("naive", codebook)
    ours.revive_below = 0.0
    different = total = 0
    for seed in range(20):
        z_e = inputs(size, seed).z_e.detach()
        codes = ours(z_e).codes.flatten()
        different += int((codes != naive.nearest(naive.rows(z_e))).sum())
        total += len(codes)
        naive.update(naive.rows(z_e), F.one_hot(codes, size.num_embeddings).float())
    return different, total, float((ours.codebook - naive.codebook).norm() / naive.codebook.norm())


def report_kinds(num_embeddings: int) -> None:
    """Print the time of a step of every quantizer that the package has too, as `quantizer_table` trains them."""
    print(f"\nK={num_embeddings}, 3,136 vectors: ms of ours, of the package, and the ratio")
    for kind in PEERS:
        functions: dict[str, Callable[[], None]] = {}
        for name in (kind, f"peer_{kind}"):
            node = OmegaConf.to_container(composed(Job(name, num_embeddings, 0).words()).model.quantizer, resolve=True)
            assert isinstance(node, dict)
            quantizer = made_of(node)
            z_e = torch.randn(64, quantizer.embedding_dim, 7, 7, generator=torch.Generator().manual_seed(0))
            functions[name] = partial(step, quantizer, z_e.requires_grad_(), torch.ones_like(z_e))
        ours, peer = seconds(functions).values()
        print(f"  {kind:<16} {1e3 * ours:8.2f} {1e3 * peer:8.2f} {peer / ours:8.2f}")


def verdict(ratio: float, target: float, at_least: bool) -> str:
    """The ratio beside its target."""
    reached = ratio >= target if at_least else ratio <= target
    return f"{ratio:6.2f}   target {'>=' if at_least else '<='} {target:<4} {'reached' if reached else 'MISSED'}"


def report(size: Size) -> None:
    """Measure and print one size."""
    z_e, gradient, codebook = inputs(size)
    rows = z_e.detach().permute(0, 2, 3, 1).reshape(-1, DIM).contiguous()
    product = torch.empty(len(rows), size.num_embeddings)
    functions = {name: partial(step, build(name, codebook), z_e, gradient) for name in IMPLEMENTATIONS}
    functions["product"] = partial(torch.mm, rows, codebook.T, out=product)
    times = seconds(functions)
    del product
    peaks = {name: memory(name, size) for name in IMPLEMENTATIONS}
    print(f"\nK={size.num_embeddings}, {len(rows):,} vectors of D={DIM}")
    for name, value in times.items():
        peak = f"{peaks[name] / 1e6:8.0f} MB at peak" if name in peaks else ""
        print(f"  {name:<24} {1e3 * value:8.1f} ms {peak}")
    for name in IMPLEMENTATIONS[1:]:
        print(f"  {name} / vqgen: time {times[name] / times['vqgen']:.2f}, memory {peaks[name] / peaks['vqgen']:.1f}")
    package = IMPLEMENTATIONS[-1]
    print("  package / vqgen, time   ", verdict(times[package] / times["vqgen"], size.faster, True))
    print("  package / vqgen, memory ", verdict(peaks[package] / peaks["vqgen"], size.smaller, True))
    print("  vqgen / bare product    ", verdict(times["vqgen"] / times["product"], size.products, False))
    different, total, error = agreement(size)
    print(f"  20 updates: {different} of {total:,} codes decided by rounding, codebook off by {error:.1e} relative")


def main() -> None:
    """Print the report, or (for the processes it starts) one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--memory", nargs=2, metavar=("NAME", "SIZE"), help="measure one implementation")
    parser.add_argument("--kinds", action="store_true", help="every quantizer that the package has too")
    parser.add_argument("--threads", type=int, default=2, help="threads of each operation")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        name, num_embeddings = arguments.memory
        print(measure_memory(name, next(size for size in SIZES if size.num_embeddings == int(num_embeddings))))
        return
    print(f"{arguments.threads} threads, load {getloadavg()[0]:.1f} at the start (times are to be trusted below 0.5)")
    if arguments.kinds:
        os.environ.setdefault(OWN, "tests")  # where the peers are
        for num_embeddings in (128, 1024, 8192):
            report_kinds(num_embeddings)
        return
    for size in SIZES:
        report(size)


if __name__ == "__main__":
    main()
