"""What the ranks of a step send each other: counted, and compared with the formula of docs/scale.md.

    python -m tests.benchmarks.ranks [--ranks 1 2 4 8]

Each rank is a gloo process of this machine with `model=vqvae2` on images of 32 x 32, past the step in which codebooks
start. Counted are the bytes that a rank hands to the collectives of a forward pass in which codes are revived; those of
the gradients are of their number. The all-reduce of the gradients is timed, all ranks on this machine's cores.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

from tests.benchmarks.records import table
from tests.benchmarks.train_step import batch_for, model_of
from vqgen.nn.quantize import EMAQuantizer
from vqgen.nn.quantize.ema import REVIVED_AT_A_TIME


def count(rank: int, world: int, folder: str) -> None:
    """Count the bytes of a step on this rank, and time an all-reduce of the gradients."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    torch.manual_seed(0)
    model, sent = model_of("vqvae2", (32, 32)), Counter[str]()
    model.objective(batch_for(model, 2, "cpu"))  # codebooks start
    calls = {name: getattr(dist, name) for name in ("all_reduce", "broadcast")}

    def counted(name: str) -> Any:
        def call(tensor: Tensor, *given: Any, **options: Any) -> Any:
            sent["codebooks"] += tensor.nbytes
            return calls[name](tensor, *given, **options)

        return call

    with mock.patch.multiple(dist, **{name: counted(name) for name in calls}):
        quantizers = [module for module in model.modules() if isinstance(module, EMAQuantizer)]
        for quantizer in quantizers:
            quantizer.counts[0] = 0  # a dead code, which is revived
        model.objective(batch_for(model, 2, "cpu"))
    gradients = torch.zeros(sum(p.numel() for p in model.parameters() if p.requires_grad))
    times = []
    for _ in range(5):
        dist.barrier()
        start = time.perf_counter()
        calls["all_reduce"](gradients)
        times.append(time.perf_counter() - start)
    if rank == 0:
        found = (sent["codebooks"], formula(world, quantizers), gradients.nbytes, min(times))
        torch.save(found, f"{folder}/{world}.pt")
    dist.destroy_process_group()


def formula(world: int, quantizers: list[EMAQuantizer]) -> int:
    """Bytes by docs/scale.md: counts and sums of the codes, which of them are dead, and vectors for those revived."""
    total = 0
    for quantizer in quantizers if world > 1 else []:
        k, d = quantizer.num_embeddings, quantizer.embedding_dim
        revived = -(-k // REVIVED_AT_A_TIME)
        total += 4 * k * (d + 1) + k + 4 * revived * (world * (d + 1) + d) + 8 * world
    return total


def main() -> None:
    """Count on some numbers of ranks, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4, 8])
    lines = []
    with TemporaryDirectory() as folder:
        for world in parser.parse_args().ranks:
            multiprocessing.spawn(count, (world, folder), nprocs=world)
            sent, expected, gradients, seconds = torch.load(Path(folder, f"{world}.pt"))
            lines.append([f"{world}", f"{sent:,}", f"{expected:,}", f"{gradients:,}", f"{1e3 * seconds:.0f}"])
    print(table(["ranks", "bytes for codebooks", "by the formula", "gradients", "their all-reduce, ms"], lines))


if __name__ == "__main__":
    main()
