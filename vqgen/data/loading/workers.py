"""Processes that make whole batches of images ahead of the model, and hand them over in memory that is used again.

New shared memory costs about as much as decoding: every page of it is faulted in. So the batches go through a fixed
number of slots of shared memory, mapped once; a slot is used again when no tensor of the batch is left.
"""

import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from vqgen.batch import RawImages
from vqgen.environment.compat import end_workers
from vqgen.errors import DataError

_AHEAD = 2  # batches that each worker makes ahead
_HELD = 3  # batches that the model may hold before slots run out; more is slower, not wrong
_NO_SLOT = -1
_REMEDY = "Take a smaller data.batch_size or data.num_workers."

Fetch = Callable[..., RawImages]  # of indices, the epoch, and what makes a new array (as np.empty, the default)
Job = tuple[ndarray, int]
T = TypeVar("T")


class Workers:
    """Makes `fetch(*job)` for an iterator of jobs, of at most `batch_size` images, in order.

    The `num_workers` processes live as long as this object.
    """

    def __init__(self, fetch: Fetch, num_workers: int, batch_size: int) -> None:
        self._fetch, self._num_workers, self._batch_size = fetch, num_workers, batch_size
        self.loader: DataLoader | None = None

    def map(self, jobs: Iterator[Job]) -> Iterator[RawImages]:
        """The batches of these jobs; the first call starts the workers.

        Raises the DataError of the worker that fetched, or one that says that a worker was ended from outside.
        """
        first = next(jobs, None)
        if first is None:
            return
        if self.loader is None:
            self.loader = self._start(first)
        self._slots.jobs = chain([first], jobs)
        try:
            for batch in self.loader:
                if isinstance(batch, DataError):
                    raise batch
                yield self._slots.unpack(batch) if isinstance(batch, _SlotBatch) else batch
        except DataError:
            end_workers(self.loader)  # the traceback holds them, and then they end slowly
            raise
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            end_workers(self.loader)
            reason = str(error).split("\n")[0]
            raise DataError(f"{reason} Most often the memory is too small. {_REMEDY}") from error

    def _start(self, job: Job) -> DataLoader:
        size = self._batch_size * self._fetch(job[0][:1], job[1]).pixels.nbytes
        self._slots = _Slots(_AHEAD * self._num_workers + _HELD, size)
        return DataLoader(
            _JobDataset(self._fetch, self._slots.memory),
            batch_size=None,
            sampler=self._slots,
            num_workers=self._num_workers,
            prefetch_factor=_AHEAD,
            persistent_workers=True,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else it draws from the model's numbers, and a resumed run draws others
        )


@dataclass(frozen=True)
class _SlotBatch:
    """A batch whose images lie in a slot."""

    slot: int
    shape: tuple[int, ...]
    given: dict[str, ndarray]
    index: ndarray


class _Slots(Sampler):
    """Shared memory for some batches, and the jobs that it is for. No reference leads to the workers: see `Loader`."""

    def __init__(self, number: int, size: int) -> None:
        try:
            self.memory = torch.empty((number, size), dtype=torch.uint8).share_memory_()
        except RuntimeError as error:
            needed = f"{number} batches in shared memory need {tqdm.format_sizeof(number * size, 'B')}"
            raise DataError(f"{needed}, and /dev/shm is too small. {_REMEDY}") from error
        self.jobs: Iterator[Job] = iter(())
        self._held: set[int] = set()  # by a batch that was handed out
        self._taken: set[int] = set()  # by those and by jobs

    def __iter__(self) -> Iterator[tuple[ndarray, int, int]]:
        """Each job with a free slot, or none. What jobs of an epoch that was given up had taken is free again."""
        self._taken = set(self._held)
        for index, epoch in self.jobs:
            slot = next((i for i in range(len(self.memory)) if i not in self._taken), _NO_SLOT)
            self._taken.add(slot)
            yield index, epoch, slot

    def unpack(self, batch: _SlotBatch) -> RawImages:
        """The batch, its images still in the slot; when the last tensor of them is gone, the slot is free."""
        images = self.memory[batch.slot].numpy()[: math.prod(batch.shape)].reshape(batch.shape)
        self._held.add(batch.slot)
        weakref.finalize(images, self._release, batch.slot).atexit = False
        given = {name: torch.from_numpy(values) for name, values in batch.given.items()}
        return RawImages(torch.from_numpy(images), given, torch.from_numpy(batch.index))

    def _release(self, slot: int) -> None:
        self._held.discard(slot)
        self._taken.discard(slot)


@dataclass(frozen=True)
class _JobDataset(Dataset):
    """What runs in a worker."""

    fetch: Fetch
    memory: Tensor

    def __getitem__(self, job: tuple[ndarray, int, int]) -> RawImages | _SlotBatch | DataError:
        index, epoch, slot = job
        try:
            if slot == _NO_SLOT:
                return self.fetch(index, epoch)
            memory = self.memory[slot].numpy()
            batch = self.fetch(index, epoch, partial(_new_in, memory))
        except DataError as error:  # handed over as it is: torch would put a traceback into its message
            return error
        x = batch.pixels.numpy()
        if x.nbytes > len(memory):
            return batch
        if x.ctypes.data != memory.ctypes.data:
            memory[: x.nbytes] = x.reshape(-1)
        given = {name: values.numpy() for name, values in batch.given.items()}
        return _SlotBatch(slot, x.shape, given, batch.index.numpy())


def _new_in(memory: ndarray, shape: tuple[int, ...], dtype: type) -> ndarray:
    """An array of bytes at the start of `memory`, or elsewhere if it does not fit."""
    size = math.prod(shape)
    return memory[:size].reshape(shape) if size <= len(memory) else np.empty(shape, dtype)


def _as_it_is(batch: T) -> T:
    return batch
