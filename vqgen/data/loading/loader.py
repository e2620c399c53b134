"""Cuts an order into batches, in this process or in workers, from any batch of any epoch."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from vqgen.batch import SPLITS
from vqgen.data.loading.order import Order, SequentialOrder, ShuffledOrder, require_enough
from vqgen.data.loading.workers import Workers
from vqgen.environment.compat import WithWorkers
from vqgen.errors import DataError

Batch: TypeAlias = Any  # RawImages or a CodeBatch, or what the data module makes of them on the device
Fetch = Callable[..., Batch]  # of indices (int64 array) and the epoch; see Workers for those that workers call

Clock = Callable[[], int]  # the epoch


class Loader(WithWorkers):
    """Batches `fetch(indices, epoch)` of an order; what DataLoader is for single items.

    Lightning saves and restores `state_dict`, which counts the batches handed out, not those read ahead.

    Args:
        fetch: makes a batch of indices and the epoch; sent to the workers where there are any.
        order: the indices of every batch of every epoch.
        num_workers: processes that fetch ahead; 0 fetches when a batch is asked for.
        clock: gives the epoch when the first batch is asked for; without one, `set_epoch` does.
        same: every epoch has the batches of the first one.
    """

    def __init__(
        self, fetch: Fetch, order: Order, num_workers: int = 0, clock: Clock | None = None, same: bool = False
    ) -> None:
        self.fetch, self.order, self.clock, self.same = fetch, order, clock, same
        self.epoch = self.batch = self._start = 0
        self._workers = Workers(fetch, num_workers, order.batch_size) if num_workers > 0 else None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        if self.clock is not None:  # set_epoch by Lightning runs ahead after resuming a run with max_steps
            self.set_epoch(self.clock())
        start, self._start = self._start, 0
        self.batch = start
        for batch in self._fetched(start):
            self.batch += 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of another epoch; the present epoch keeps its place."""
        if epoch != self.epoch:
            self.epoch, self.batch, self._start = epoch, 0, 0

    def state_dict(self) -> dict[str, int]:
        """The place in the order, as plain numbers."""
        place = {"epoch": self.epoch, "batch": self.batch, "length": len(self)}
        return place | {"global_batch_size": self._global_batch_size()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next iteration at the batch after the last one handed out."""
        length = state.get("length", len(self))  # at an epoch's end any batch size will do
        self.epoch = state["epoch"]
        self.batch = self._start = state["batch"] if state["batch"] < length else len(self)
        inside = 0 < state["batch"] < length
        if inside and state["global_batch_size"] != self._global_batch_size():
            raise DataError(
                f"The run stopped inside an epoch with {state['global_batch_size']} images a step over all "
                f"devices, and would go on with {self._global_batch_size()}: keep batch_size * devices."
            )

    def _global_batch_size(self) -> int:
        return self.order.batch_size * self.order.place().world_size

    @property
    def loader(self) -> DataLoader | None:
        """The DataLoader of the workers; None where there are none, or before they start."""
        return None if self._workers is None else self._workers.loader

    def _fetched(self, start: int) -> Iterator[Batch]:
        jobs = _jobs(self.order, 0 if self.same else self.epoch, start)
        if self._workers is not None:
            return self._workers.map(jobs)
        return (self.fetch(index, epoch) for index, epoch in jobs)


def _jobs(order: Order, epoch: int, start: int) -> Iterator[tuple[ndarray, int]]:
    """What is to be fetched. No reference to the loader: workers of a loader in a cycle of references end slowly."""
    return ((order.batch(epoch, k), epoch) for k in range(start, len(order)))


class DataModule(LightningDataModule):
    """Loaders of the splits train, val and test, for images and for codes alike.

    A subclass sets `batch_size` (items a step on each device) and `seed` (of the training order).
    """

    batch_size: int
    seed: int
    num_workers = 0  # processes that fetch ahead

    def count(self, split: str) -> int:
        """The number of items of a split."""
        raise NotImplementedError

    def fetch(self, split: str, training: bool = False) -> Fetch:
        """What makes a batch of a split, augmented in training."""
        raise NotImplementedError

    def tell(self) -> None:
        """Log once, in one line on rank 0, what was read."""

    def setup(self, stage: str | None = None) -> None:
        """Before a training, each process has an item of every split."""
        for name in SPLITS if stage == "fit" else ():
            require_enough(self.count(name), name)

    def train_dataloader(self) -> Loader:
        """Shuffled training batches; where `trainer.overfit_batches` is set, every epoch has those of the first."""
        fetch, order = self.fetch("train", True), ShuffledOrder(self.count("train"), self.batch_size, self.seed)
        return Loader(fetch, order, self.num_workers, self._epoch, getattr(self.trainer, "overfit_batches", 0) > 0)

    def val_dataloader(self) -> Loader:
        """The validation split in order."""
        return self.evaluation_loader("val")

    def test_dataloader(self) -> Loader:
        """The test split in order."""
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: str) -> Loader:
        """A split in order, as it is."""
        return Loader(self.fetch(split), SequentialOrder(self.count(split), self.batch_size), self.num_workers)

    def batch(self, split: str, index: ndarray) -> Batch:
        """The items at `index` of a split, as a model gets them."""
        return self.on_after_batch_transfer(self.fetch(split)(np.asarray(index), 0), 0)

    def _epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch
