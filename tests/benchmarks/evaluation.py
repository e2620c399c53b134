"""Precision, recall, density and coverage against the package prdc, on the same features in the same run.

    python -m tests.benchmarks.evaluation
    python -m tests.benchmarks.evaluation --run RUN --classifier RUN --num-samples 2000

The second form takes one whole evaluation of a prior apart: sampling, features, metrics. prdc holds three full
matrices of distances, 0.8 GB each for 10,000 features; the peak of memory above the features is measured for both.
"""

import argparse
import resource
import subprocess
import sys
import time
from os import getloadavg

import numpy as np
import torch

from vqgen.measure.metrics.density_coverage import density_coverage
from vqgen.measure.metrics.precision_recall import precision_recall

TARGET_SECONDS = 10.0


def features(n: int, dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and generated feature vectors that lie partly among each other: a few directions matter, as in a network."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.logspace(0, -2, dims)
    real = torch.randn(n, dims, generator=generator) * spread
    return real, torch.randn(n, dims, generator=generator) * spread * 0.9 + 0.1 * spread


def ours(real: torch.Tensor, generated: torch.Tensor, k: int) -> dict[str, float]:
    """All four by this project."""
    found = precision_recall(real, generated, k)._asdict() | density_coverage(real, generated, k)._asdict()
    return {name: float(value) for name, value in found.items()}


def theirs(real: torch.Tensor, generated: torch.Tensor, k: int) -> dict[str, float]:
    """All four by prdc."""
    from prdc import compute_prdc

    return {name: float(v) for name, v in compute_prdc(real.numpy(), generated.numpy(), nearest_k=k).items()}


def alone(side: str, options: argparse.Namespace) -> None:
    """Measure one of the two in this process, whose peak of memory is then its own."""
    real, generated = features(options.n, options.dims)
    (ours if side == "ours" else theirs)(real[:64], generated[:64], options.k)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    found = (ours if side == "ours" else theirs)(real, generated, options.k)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{seconds} {cpu} {peak} " + " ".join(str(found[name]) for name in NAMES))


NAMES = ("precision", "recall", "density", "coverage")


def compare(options: argparse.Namespace) -> None:
    """Both, one after the other, each in a process of its own."""
    print(
        f"load {getloadavg()[0]:.1f}, {torch.get_num_threads()} threads, {options.n} against {options.n} features of "
        f"{options.dims} dimensions, k = {options.k}"
    )
    rows = {}
    for side in ("ours", "prdc"):
        words = [sys.executable, "-m", "tests.benchmarks.evaluation", "--side", side, *sys.argv[1:]]
        line = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        rows[side] = np.array(line.split(), float)
        seconds, cpu, peak, *figures = rows[side]
        shown = "  ".join(f"{name} {value:.4f}" for name, value in zip(NAMES, figures, strict=True))
        print(f"{side:6} {seconds:6.1f} s  {cpu:6.1f} s of processor  {peak:7.0f} MiB   {shown}")
    agree = np.abs(rows["ours"][3:] - rows["prdc"][3:]).max()
    reached = rows["ours"][0] <= TARGET_SECONDS
    print(f"largest difference {agree:.1e};  target <= {TARGET_SECONDS:.0f} s {'reached' if reached else 'MISSED'}")


def main() -> None:
    """Print both times, memory and figures, or the parts of one evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--dims", type=int, default=512)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--side", choices=["ours", "prdc"], help=argparse.SUPPRESS)
    parser.add_argument("--run", help="a prior, for the parts of one whole evaluation")
    parser.add_argument("--classifier")
    parser.add_argument("--num-samples", type=int, default=2000)
    options = parser.parse_args()
    if options.side:
        return alone(options.side, options)
    if options.run is None:
        return compare(options)
    from vqgen.runs.checkpoint import open_run
    from vqgen.runs.opening import trained
    from vqgen.tasks.evaluate import Evaluate

    task = Evaluate(num_samples=options.num_samples, classifier=options.classifier)
    print(task(trained([open_run(options.run)])).text)


if __name__ == "__main__":
    main()
