"""The codes of a split in parts: the processes that want them each make those that no other is making."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from filelock import Timeout
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn
from tqdm import tqdm

from vqgen.batch import from_bytes
from vqgen.data.files.array_file import ArrayFile
from vqgen.data.images import Images
from vqgen.data.loading.loader import Batch, Fetch, Loader
from vqgen.data.loading.order import UndividedOrder
from vqgen.devices import place
from vqgen.errors import DataError
from vqgen.runs.atomic import make_once, reading

Encode = Callable[[Float[Tensor, "b c h w"]], list[Int[Tensor, "b _ _"]]]

MOST_IMAGES, MOST_VALUES = 512, 2**24
"""In a batch for the encoder, at most."""
BATCHES = 64
"""In a part: what a killed process has to do again, at most."""


class Part(NamedTuple):
    """Images `start` to `stop` of a split, as they are or mirrored."""

    mirrored: bool
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{'mirrored' if self.mirrored else 'plain'}-{self.start:09}"


class _JoinedError(Exception):
    """There is nothing to be made any more."""


@dataclass(frozen=True)
class CodedParts:
    """The codes of a split, in a folder for each part: level0.npy and so on.

    Batches are the same however many processes there are, and so are the codes. A process that is killed leaves whole
    parts, which the next one does not make again.
    """

    folder: Path
    images: Images
    split: str
    repeats: int  # 2: mirrored images, too
    encode: Encode
    num_embeddings: Sequence[int]

    @property
    def batch_size(self) -> int:
        """Images that are encoded at a time."""
        return max(1, min(MOST_IMAGES, MOST_VALUES // math.prod(self.images.shape)))

    def parts(self) -> list[Part]:
        """All parts, in the order of the rows."""
        count, size = self.images.count(self.split), BATCHES * self.batch_size
        starts = range(0, count, size)
        return [Part(bool(k), start, min(start + size, count)) for k in range(self.repeats) for start in starts]

    def make(self, whole: Path, cache: Path) -> None:
        """Make the parts that nobody else is making, then wait for the others, and for those whose maker has ended.

        Nothing is made once the folder `whole` is there: another process has joined the parts, and removes them.
        """
        left = self.parts()
        rows = sum(part.stop - part.start for part in left)
        with tqdm(total=rows, desc=f"Codes of {self.split}", unit="image", disable=place().rank > 0) as bar:
            for wait in (0.0, -1.0):
                left = [part for part in left if not self._make(part, whole, cache, wait, bar)]

    def _make(self, part: Part, whole: Path, cache: Path, wait: float, bar: tqdm) -> bool:
        """Whether a part is there, made now unless another process is making it for longer than `wait` seconds."""
        before = bar.n
        try:
            make_once(self.folder / part.name, partial(self._write, part, whole, bar), cache, wait)
        except Timeout:
            return False
        except (_JoinedError, DataError):
            if not whole.exists():
                raise
        if bar.n == before:  # by another process
            bar.update(part.stop - part.start)
        return True

    def join(self, folder: Path) -> int:
        """Write all parts behind each other into the files of `folder`; the number of rows."""
        parts = self.parts()
        rows = sum(part.stop - part.start for part in parts)
        for i, k in enumerate(self.num_embeddings):
            with ExitStack() as stack:
                file: ArrayFile | None = None
                for part in parts:
                    with reading(self.folder / part.name):
                        array = np.load(self.folder / part.name / f"level{i}.npy", mmap_mode="r")
                    if file is None:
                        shape = (rows, *array.shape[1:])
                        file = stack.enter_context(ArrayFile(folder / f"level{i}.npy", smallest_type(k), shape))
                    file.append(array)
        return rows

    def remove(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, part: Part, whole: Path, bar: tqdm, folder: Path) -> None:
        if whole.exists():  # since this process has waited for another one
            raise _JoinedError
        files: dict[int, ArrayFile] = {}
        with ExitStack() as stack:
            for codes in self._encoded(part):
                if len(codes) != len(self.num_embeddings):
                    levels = f"{len(codes)} levels, and num_embeddings={self.num_embeddings}"
                    raise DataError(f"The tokenizer gives {levels}.")
                for i, (code, k) in enumerate(zip(codes, self.num_embeddings, strict=True)):
                    array = code.cpu().numpy()
                    if array.min() < 0 or array.max() >= k:
                        found = f"{array.min()} to {array.max()}"
                        raise DataError(f"The tokenizer gives codes from {found} for {k} embeddings.")
                    if i not in files:
                        shape = (part.stop - part.start, *array.shape[1:])
                        file = ArrayFile(folder / f"level{i}.npy", smallest_type(k), shape)
                        files[i] = stack.enter_context(file)
                    files[i].append(array)
                bar.update(len(codes[0]))

    def _encoded(self, part: Part) -> Iterator[list[Tensor]]:
        """The codes of a part's images, in order."""
        order = UndividedOrder(part.stop - part.start, self.batch_size)
        loader = Loader(partial(_from, self.images.fetch(self.split), part.start), order, self.images.num_workers)
        with _evaluating(self.encode) as device:
            for batch in loader:
                x = from_bytes(batch.pixels.to(device, non_blocking=True))
                yield self.encode(x.flip(-1) if part.mirrored else x)


def _from(fetch: Fetch, start: int, index: ndarray, epoch: int) -> Batch:
    """A batch of images that are counted from `start`."""
    return fetch(index + start, epoch)


def smallest_type(num_embeddings: int) -> np.dtype:
    """The smallest unsigned type of the numbers 0 to num_embeddings - 1."""
    return np.min_scalar_type(num_embeddings - 1)


@contextmanager
def _evaluating(encode: Encode) -> Iterator[torch.device]:
    """No gradients, and the module of a bound method in evaluation mode; gives the module's device."""
    owner = getattr(encode, "__self__", None)
    module = owner if isinstance(owner, nn.Module) else nn.Module()
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    finally:
        module.train(training)
