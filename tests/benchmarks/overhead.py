"""What Lightning, logging and metrics add to a training step, against a bare loop of the same model.

    python -m tests.benchmarks.overhead [--data fashion_mnist] [--steps 200] [--rounds 5]

Both loops take batches from the same data module, call the same objective and step the same optimiser and schedule.
The trainer has every default callback and logger, W&B (offline) among them. The two take turns in one process; the
ratio is that of their fastest rounds. Validation, pictures and checkpoints are left out: they are work of their own.
"""

import argparse
import os
import tempfile
import time
from os import getloadavg
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from tests.conftest import composed
from vqgen.experiment import plain
from vqgen.logging.of_run import make_loggers
from vqgen.runs.checkpoint import build
from vqgen.training.messages import quiet
from vqgen.training.preparation import machine_of, make_callbacks
from vqgen.training.source import open_source


class Clock(pl.Callback):
    """Seconds from the first training step that counts to the last."""

    def __init__(self, skip: int) -> None:
        self.skip, self.start, self.seconds = skip, 0.0, 0.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.skip:
            self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seconds = time.perf_counter() - self.start


def bare(config: dict[str, Any], data: Any, steps: int, skip: int) -> float:
    """Seconds of a plain loop over `steps` batches, the first `skip` not counted."""
    model = build(config["model"]).train()
    optimizer = model.optimizer(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: model.schedule(step, steps))
    start = 0.0
    for i, batch in zip(range(steps), data.train_dataloader(), strict=False):
        if i == skip:
            start = time.perf_counter()
        batch = data.on_after_batch_transfer(batch, 0)
        optimizer.zero_grad()
        model.objective(batch).loss.backward()
        optimizer.step()
        schedule.step()
    return time.perf_counter() - start


def trained(config: dict[str, Any], source: Any, steps: int, skip: int) -> float:
    """Seconds of the same steps under the trainer, with all its loggers and callbacks."""
    model, clock = build(config["model"]), Clock(skip)
    limits = {"limit_train_batches": steps, "max_epochs": 1, "limit_val_batches": 0, "enable_model_summary": False}
    options = config["trainer"] | limits
    callbacks = [*make_callbacks(config, source, Path(config["run_dir"])), clock]
    trainer = build(options, callbacks=callbacks, logger=make_loggers(config, None), default_root_dir=config["run_dir"])
    trainer.fit(model, datamodule=source.data)
    return clock.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--overrides", nargs="*", default=[])
    options = parser.parse_args()
    os.environ["WANDB_MODE"] = "offline"
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        words = ["model=vqvae", f"data={options.data}", f"run_dir={folder}", *options.overrides]
        cfg = composed(words)
        source = open_source(plain(cfg), Path(folder), machine_of(plain(cfg)))
        cfg.facts = {**cfg.facts, **source.facts}
        config, skip = plain(cfg), options.steps // 10
        times: dict[str, list[float]] = {"bare": [], "trainer": []}
        for _ in range(options.rounds):
            times["bare"].append(bare(config, source.data, options.steps, skip))
            times["trainer"].append(trained(config, source, options.steps, skip))
    counted = options.steps - skip
    fastest = {name: min(seconds) / counted * 1000 for name, seconds in times.items()}
    print(f"load {getloadavg()[0]:.1f}, {torch.get_num_threads()} threads, fastest of {options.rounds} rounds")
    for name, milliseconds in fastest.items():
        print(f"{name:8} {milliseconds:8.2f} ms a step")
    ratio = fastest["trainer"] / fastest["bare"]
    print(f"ratio    {ratio:8.3f}   target <= 1.05 {'reached' if ratio <= 1.05 else 'MISSED'}")


if __name__ == "__main__":
    main()
