"""Searches before a training, on a model that is thrown away: the learning rate, and the largest batch."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.tuner.tuning import Tuner
from pytorch_lightning.utilities.rank_zero import rank_zero_info

from vqgen.data.loading.loader import DataModule
from vqgen.errors import ConfigError
from vqgen.training.messages import silence

THROWN_AWAY: dict[str, object] = {  # options of a trainer that only searches
    "max_epochs": -1,
    "max_steps": -1,
    "max_time": None,
    "check_val_every_n_epoch": 10**9,
    "profiler": None,
    "logger": False,
    "callbacks": [],
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class SearchResult(NamedTuple):
    """The option that was searched for, and the value found."""

    key: str
    value: float | int


Search: TypeAlias = Callable[[pl.Trainer, pl.LightningModule, DataModule, Path], SearchResult]


class LearningRate:
    """The learning-rate range test (arXiv 1506.01186): the rate grows with every step, and the loss is watched.

    Takes the rate at which the loss falls fastest, and draws loss over rate into `images/learning_rate.png`.

    Args:
        min_lr: rate of the first step.
        max_lr: rate of the last step; the search ends before where the loss has grown fourfold.
        num_steps: optimiser steps, at least 20.
    """

    def __init__(self, min_lr: float = 1e-6, max_lr: float = 1.0, num_steps: int = 100) -> None:
        if not 0 < min_lr < max_lr:
            raise ValueError(f"{min_lr=} must be above 0 and below {max_lr=}")
        if num_steps < 20:
            raise ValueError(f"{num_steps=} must be at least 20")
        self.min_lr, self.max_lr, self.num_steps = min_lr, max_lr, num_steps

    def __call__(self, trainer: pl.Trainer, model: pl.LightningModule, data: DataModule, folder: Path) -> SearchResult:
        """Search, and draw the search into the run folder."""
        lr_find = functools.partial(Tuner(trainer).lr_find, min_lr=self.min_lr, max_lr=self.max_lr)
        with silence():
            tried = lr_find(model, datamodule=data, num_training=self.num_steps, update_attr=False)
        if tried is None or (rate := tried.suggestion()) is None:
            raise ConfigError("tune.learning_rate: the loss was no number from the start; try a smaller tune.max_lr")
        found = float(f"{rate:.3g}")
        _draw(tried.results["lr"], tried.results["loss"], found, folder / "images" / "learning_rate.png")
        return SearchResult("optim.lr", found)


class BatchSize:
    """The largest batch, a power of two, with which three steps fit into the memory of the device.

    Args:
        most: no larger one, however much memory there is: of use where a GPU could take more, needed on a CPU, which
            knows no limit.
    """

    def __init__(self, most: int = 1024) -> None:
        if most < 2:
            raise ValueError(f"{most=} must be at least 2")
        self.most = most

    def __call__(self, trainer: pl.Trainer, model: pl.LightningModule, data: DataModule, folder: Path) -> SearchResult:
        """Search; the data keep the size that was found."""
        limit = 1 << (min(self.most, data.train_dataloader().order.n).bit_length() - 1)
        with silence():  # Lightning does not try the largest size itself: it is told the next
            size = Tuner(trainer).scale_batch_size(model, datamodule=data, max_val=limit + 1)
        data.batch_size = min(int(size or 1), limit)
        return SearchResult("data.batch_size", data.batch_size)


def search(
    searches: Mapping[str, Search],
    trainer: Callable[..., pl.Trainer],
    model: Callable[[], pl.LightningModule],
    data: DataModule,
    folder: Path,
) -> list[SearchResult]:
    """Carry out the searches, the batch size first, and print what they find; ConfigError with several processes.

    `trainer` makes a trainer, given what differs from that of the run, and `model` a new model.
    """
    found = []
    for _, one in sorted(searches.items()):
        with TemporaryDirectory() as place:
            alone = trainer(**THROWN_AWAY, default_root_dir=place)
            if alone.world_size > 1:
                raise ConfigError(
                    "tune: a search needs a single process: do it with hardware.devices=1, and give what it finds to "
                    "the run of several, as optim.lr=VALUE or data.batch_size=VALUE"
                )
            found.append(one(alone, model(), data, folder))
        rank_zero_info(f"Found {found[-1].key}={found[-1].value}")
    return found


def _draw(rates: list[float], losses: list[float], found: float, path: Path) -> None:
    """Smoothed loss over learning rate, with the rate that was taken."""
    axes = (figure := Figure(figsize=(5, 3.5), layout="constrained")).subplots()
    axes.plot(rates, losses, color="tab:blue")
    axes.axvline(found, color="tab:orange", linestyle="--", label=f"taken: {found:.3g}")
    axes.set(xlabel="learning rate", ylabel="training loss (smoothed)", xscale="log", title="Learning-rate range test")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
