"""Processes that make whole batches of images ahead of the model, and hand them over in memory that is used again.

New shared memory costs about as much as decoding: every page of it is faulted in. So the batches go through a fixed
number of slots of shared memory, mapped once; a slot is used again when no tensor of the batch is left.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from vqgen.batch import ImageBatch
from vqgen.compat import end_workers
from vqgen.errors import DataError

_AHEAD = 2   # batches that each worker makes ahead
_HELD = 3   # batches that the model may hold before slots run out; more is slower, not wrong
_NO_SLOT = -1
_REMEDY = "Take a smaller data.batch_size or data.num_workers."

Fetch = Callable[..., ImageBatch]   # of indices, the epoch, and what makes a new array (as np.empty, the default)
Job = tuple[ndarray, int]


class Workers:
    """Makes `fetch(*job)` for an iterator of jobs, in order.

    Args:
        fetch: sent to the workers when they start.
        num_workers: processes; they live as long as this object.
        batch_size: the most images of a job.
    """

    def __init__(self, fetch: Fetch, num_workers: int, batch_size: int) -> None:
        self._fetch, self._num_workers, self._batch_size = fetch, num_workers, batch_size
        self._jobs = _Jobs()
        self.loader: DataLoader | None = None

    def map(self, jobs: Iterator[Job]) -> Iterator[ImageBatch]:
        """The batches of these jobs; the first call starts the workers.

        Raises:
            DataError: as in the process that fetched, or it was ended from outside.
        """
        first = next(jobs, None)
        if first is None:
            return
        if self.loader is None:
            self._start(first)
        assert self.loader is not None
        self._jobs.iterator = self._slots.assign(chain([first], jobs))
        try:
            for batch in _told(self.loader):
                yield self._slots.unpack(batch) if isinstance(batch, _Packed) else batch
        except DataError:
            end_workers(self.loader)   # the traceback holds them, and then they end slowly
            raise

    def _start(self, job: Job) -> None:
        size = self._batch_size * self._fetch(job[0][:1], job[1]).x.nbytes
        self._slots = _Slots(_AHEAD * self._num_workers + _HELD, size)
        self.loader = DataLoader(
            _Fetched(self._fetch, self._slots.memory),
            batch_size=None,
            sampler=self._jobs,
            num_workers=self._num_workers,
            prefetch_factor=_AHEAD,
            persistent_workers=True,
            collate_fn=_as_it_is,
            generator=torch.Generator(),   # else it draws from the model's numbers, and a resumed run draws others
        )


@dataclass(frozen=True)
class _Packed:
    """A batch whose images lie in a slot."""

    slot: int
    shape: tuple[int, ...]
    given: dict[str, ndarray]
    index: ndarray


class _Slots:
    """Shared memory for some batches. No reference leads from here to the workers: see `Loader`."""

    def __init__(self, number: int, size: int) -> None:
        self.memory = _shared(number, size)
        self._held: set[int] = set()   # by a batch that was handed out
        self._taken: set[int] = set()   # by those and by jobs

    def assign(self, jobs: Iterator[Job]) -> Iterator[tuple[ndarray, int, int]]:
        """Each job with a free slot, or none. What jobs of an epoch that was given up had taken is free again."""
        self._taken = set(self._held)
        for index, epoch in jobs:
            slot = next((i for i in range(len(self.memory)) if i not in self._taken), _NO_SLOT)
            self._taken.add(slot)
            yield index, epoch, slot

    def unpack(self, packed: _Packed) -> ImageBatch:
        """The batch, its images still in the slot; when the last tensor of them is gone, the slot is free."""
        images = self.memory[packed.slot].numpy()[: int(np.prod(packed.shape))].reshape(packed.shape)
        self._held.add(packed.slot)
        weakref.finalize(images, self._release, packed.slot).atexit = False
        given = {name: torch.from_numpy(values) for name, values in packed.given.items()}
        return ImageBatch(torch.from_numpy(images), given, torch.from_numpy(packed.index))

    def _release(self, slot: int) -> None:
        self._held.discard(slot)
        self._taken.discard(slot)


def _shared(number: int, size: int) -> Tensor:
    try:
        return torch.empty((number, size), dtype=torch.uint8).share_memory_()
    except RuntimeError as error:
        needed = f"{number} batches in shared memory need {tqdm.format_sizeof(number * size, 'B')}"
        raise DataError(f"{needed}, and /dev/shm is too small. {_REMEDY}") from error


class _Jobs(Sampler):
    iterator: Iterator[tuple[ndarray, int, int]] = iter(())

    def __iter__(self) -> Iterator[tuple[ndarray, int, int]]:
        return self.iterator


class _Fetched(Dataset):
    """What runs in a worker."""

    def __init__(self, fetch: Fetch, memory: Tensor) -> None:
        self.fetch, self.memory = fetch, memory

    def __getitem__(self, job: tuple[ndarray, int, int]) -> ImageBatch | _Packed | DataError:
        try:
            return self._fetched(*job)
        except DataError as error:   # handed over as it is: torch would put a traceback into its message
            return error

    def _fetched(self, index: ndarray, epoch: int, slot: int) -> ImageBatch | _Packed:
        if slot == _NO_SLOT:
            return self.fetch(index, epoch)
        memory = self.memory[slot].numpy()
        batch = self.fetch(index, epoch, partial(_new_in, memory))
        x = batch.x.numpy()
        if x.nbytes > len(memory):
            return batch
        if x.ctypes.data != memory.ctypes.data:
            memory[: x.nbytes] = x.reshape(-1)
        given = {name: values.numpy() for name, values in batch.given.items()}
        return _Packed(slot, x.shape, given, batch.index.numpy())


def _new_in(memory: ndarray, shape: tuple[int, ...], dtype: type) -> ndarray:
    """An array of bytes at the start of `memory`, or elsewhere if it does not fit."""
    size = int(np.prod(shape))
    return memory[:size].reshape(shape) if size <= len(memory) else np.empty(shape, dtype)


def _as_it_is(batch: Any) -> Any:
    return batch


def _told(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches; raises the DataError that a worker made, or one where torch finds that a worker has ended."""
    try:
        for batch in batches:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).split("\n")[0]
        raise DataError(f"{reason} Most often the memory is too small. {_REMEDY}") from error
