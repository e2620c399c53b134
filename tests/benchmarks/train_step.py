"""A training step of vqvae2 at 256x256 under the options of `hardware`, beside the plain one.

    python -m tests.benchmarks.train_step [--batch 4] [--rounds 3] [--options channels_last compile bf16]

Forward, backward and Adam on random images, on the GPU where there is one. The variants take turns in one process; the
ratio is that of their fastest rounds: below 1 the option pays.
"""

import argparse
import time
from os import getloadavg
from typing import Any

import torch
from omegaconf import OmegaConf

from tests.test_experiment import composed
from vqgen.batch import ImageBatch
from vqgen.checkpoint import build
from vqgen.experiment import place

OPTIONS = ("channels_last", "compile", "bf16")


class Step:
    """A model with its optimiser, ready for steps under one option."""

    def __init__(self, option: str, batch: int, device: str) -> None:
        cfg = composed(["model=vqvae2", "data=shapes", "data.size=256"])
        cfg.facts = {**cfg.facts, "variance": 1.0, "num_classes": 0}
        config: Any = OmegaConf.to_container(cfg, resolve=True)
        torch.manual_seed(0)
        self.model = build(config["model"]).to(device).train()
        place(self.model, {"channels_last": option == "channels_last", "compile": option == "compile"})
        self.optimizer = self.model.optimizer(self.model.parameters())
        x = torch.rand(batch, 3, 256, 256, device=device) * 2 - 1
        if option == "channels_last":
            x = x.to(memory_format=torch.channels_last)
        self.batch = ImageBatch(x, None, torch.arange(batch))
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=option == "bf16")

    def __call__(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        with self.autocast:
            loss = self.model.objective(self.batch).loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.batch.x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", nargs="*", choices=OPTIONS, default=list(OPTIONS))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    steps = {name: Step(name, options.batch, device) for name in ("plain", *options.options)}
    for step in steps.values():
        step()   # codebooks start from data, compilers compile
    fastest = dict.fromkeys(steps, float("inf"))
    for _ in range(options.rounds):
        for name, step in steps.items():
            fastest[name] = min(fastest[name], step())
    print(f"{device}, {torch.get_num_threads()} threads, load {getloadavg()[0]:.1f}, batch {options.batch}")
    for name, seconds in fastest.items():
        rate = options.batch / seconds
        print(f"{name:14} {seconds:8.3f} s a step  {rate:7.1f} images/s  {seconds / fastest['plain']:6.2f} of plain")


if __name__ == "__main__":
    main()
