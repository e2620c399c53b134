"""Which images make up batch k of epoch e, as plain functions of (seed, epoch, rank)."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from vqgen.data.loading.counter import permutation
from vqgen.devices import Place, place
from vqgen.errors import DataError


def require_enough(n: int, split: str) -> None:
    """Raise DataError where a split has fewer images than processes, before the training begins."""
    if n < (number := place().world_size):
        raise DataError(f"The split {split} holds {n} images, too few for {number} processes: use fewer devices.")


class Order(ABC):
    """The batches of an epoch over n images; `batch_size` is per process, and each rank gets its part."""

    def __init__(self, n: int, batch_size: int) -> None:
        if n < 1:
            raise DataError("The split holds no image.")
        if batch_size < 1:
            raise DataError(f"data.batch_size={batch_size}: a batch holds at least 1 image.")
        self.n, self.batch_size = n, batch_size

    def place(self) -> Place:
        """The process that the batches are for."""
        return place()

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch, the same on every rank."""

    @abstractmethod
    def batch(self, epoch: int, k: int) -> Int64[ndarray, " b"]:
        """The images of batch k on this rank."""

    def part(self, indices: Int64[ndarray, " n"]) -> Int64[ndarray, " b"]:
        """This rank's contiguous part of a batch of all ranks."""
        rank, world_size = self.place()
        n = len(indices)
        if n < world_size:
            raise DataError(f"{n} images are too few for {world_size} processes: use fewer devices.")
        return indices[rank * n // world_size : (rank + 1) * n // world_size]


class ShuffledOrder(Order):
    """Training: a permutation of (seed, epoch), cut into batches of batch_size * world_size.

    W processes with batch B see what one with batch W*B sees. An incomplete last batch is left out, unless it is the
    only one.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        super().__init__(n, batch_size)
        self.seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, np.int64)

    def __len__(self) -> int:
        return max(1, self.n // (self.batch_size * self.place().world_size))

    def batch(self, epoch: int, k: int) -> Int64[ndarray, " b"]:
        """Entries [k*W*B, (k+1)*W*B) of the epoch's permutation, this rank's part."""
        if epoch != self._epoch:
            self._permutation, self._epoch = permutation(self.n, "order", self.seed, epoch), epoch
        size = self.batch_size * self.place().world_size
        return self.part(self._permutation[k * size : (k + 1) * size])


class SequentialOrder(Order):
    """Evaluation: every image once, in order, in batches that differ by at most one image.

    Every rank gets the same number of batches and none is empty, so that collective operations stay in step.
    """

    def __len__(self) -> int:
        world_size = self.place().world_size
        return max(1, min(-(-self.n // (self.batch_size * world_size)), self.n // world_size))

    def batch(self, epoch: int, k: int) -> Int64[ndarray, " b"]:
        """The k-th of len(self) nearly equal parts, this rank's part of it; the epoch makes no difference."""
        return self.part(np.arange(k * self.n // len(self), (k + 1) * self.n // len(self)))


class UndividedOrder(SequentialOrder):
    """Every image once, in order, all of them on this rank."""

    def place(self) -> Place:
        """Alone."""
        return Place(0, 1)
