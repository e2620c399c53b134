"""Reading every image file once: to find the bad ones, and to keep the images as an array where that fits."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray
from tqdm import tqdm

from vqgen.data.files.array_file import ArrayFile, read_array
from vqgen.data.files.decode import UnreadableError, decode, shown
from vqgen.data.files.depth import Depth
from vqgen.data.files.member import opened
from vqgen.data.files.tree import Listing
from vqgen.errors import DataError
from vqgen.runs.atomic import reading

UNREADABLE = "unreadable.json"
_AT_ONCE, _MOST_BYTES = 256, 2**28  # images, and their bytes, handed to the decoding threads together

Index: TypeAlias = ndarray | slice
S = TypeVar("S")
T = TypeVar("T")


def of_file(path: str | bytes) -> bytes:
    """A hash of the bytes of a file; empty where it cannot be read."""
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "blake2b").digest()[:16]
    except OSError:
        return b""


class Attempt(NamedTuple):
    """An image, or why there is none, and a hash of the file's bytes."""

    image: ndarray | str
    content: bytes


@dataclass(frozen=True)
class FileDecoder:
    """How the files below `root` become images of `shape`; `window` and `white` as in `decode`."""

    root: str
    shape: tuple[int, int, int]
    window: int | None
    white: int = 2**16 - 1

    def place(self, path: bytes) -> bytes:
        """The whole path of a file below the root."""
        return os.path.join(os.fsencode(self.root), path)

    def __call__(self, path: bytes) -> UInt8[ndarray, "c h w"]:
        """The image at a path below the root. Raises UnreadableError."""
        return decode(self.place(path), self.shape, self.window, self.white)

    def attempt(self, path: bytes) -> Attempt:
        """The image, or why there is none, and a hash of the file."""
        content = of_file(self.place(path))
        try:
            return Attempt(self(path), content)
        except UnreadableError as error:
            return Attempt(str(error), content)

    def attempts(self, paths: Sequence[bytes]) -> Iterator[Attempt]:
        """The results in order."""
        return ahead(self.attempt, paths, max(1, min(_AT_ONCE, _MOST_BYTES // math.prod(self.shape))))


def ahead(function: Callable[[S], T], items: Iterable[S], at_once: int) -> Iterator[T]:
    """The results in order, by all cores; one part, of `at_once` items, is made while the one before it is used."""
    items = iter(items)
    waiting: Iterator[T] = iter(())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while part := list(islice(items, at_once)):
            submitted = pool.map(function, part)
            yield from waiting
            waiting = submitted
        yield from waiting


@dataclass(frozen=True)
class ImageFiles:
    """Images that are decoded when they are asked for (Pixels). Paths below the decoder's root are held as bytes."""

    decoder: FileDecoder
    paths: ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """n, c, h, w."""
        return len(self.paths), *self.decoder.shape

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Index) -> UInt8[ndarray, "n c h w"]:
        return self.read(index, np.empty)

    def read(self, index: Index, new: Callable[..., ndarray]) -> UInt8[ndarray, "n c h w"]:
        """Decode the images at these indices into an array that `new` makes, and return it."""
        paths = self.paths[index]
        images = new((len(paths), *self.decoder.shape), np.uint8)
        for image, path in zip(images, paths, strict=True):
            try:
                image[...] = self.decoder(path)
            except UnreadableError as error:
                raise DataError(
                    f"{shown(self.decoder.place(path))} was an image when the files were checked, and is none now "
                    f"({error}): put it back."
                ) from error
        return images


@dataclass(frozen=True)
class ArrayRows:
    """Some rows of an array of images (Pixels)."""

    images: ndarray
    rows: Int64[ndarray, " n"]

    @property
    def shape(self) -> tuple[int, ...]:
        """n, c, h, w."""
        return len(self.rows), *self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Index) -> UInt8[ndarray, "n c h w"]:
        return self.images[self.rows[index]]


def prepare(
    attempts: Iterable[Attempt],
    names: Callable[[int], str],
    number: int | None,
    shape: tuple[int, int, int],
    folder: Path,
    keep: bool,
    title: str,
) -> str:
    """Decode all images with a progress bar; write images.npy, if `keep`, and unreadable.json.

    Args:
        attempts: the images, or why there is none; the row of an unreadable one stays black.
        names: what the image of a row is called.
        number: of images; None where nobody knows.
        shape: of an image.
        folder: where to.
        keep: whether the images are kept.
        title: of the progress bar.

    Returns:
        A hash of what is in the files.
    """
    results = tqdm(attempts, title, number, unit="image", smoothing=0.05)
    unreadable: list[tuple[int, str, str]] = []
    black, content = np.zeros(shape, np.uint8), hashlib.sha256()
    with ArrayFile(folder / "images.npy", np.uint8, (number, *shape)) if keep else nullcontext() as file:
        for row, (result, of_this) in enumerate(results):
            content.update(of_this)
            if isinstance(result, str):
                unreadable.append((row, names(row), result))
            if file is not None:
                file.append(black[None] if isinstance(result, str) else result[None])
    (folder / UNREADABLE).write_text(json.dumps(unreadable, indent=1))
    return content.hexdigest()[:16]


@dataclass
class PreparedSplit:
    """What was prepared of the files of a split, in a folder. Raises DataError where that is damaged."""

    folder: Path
    listing: Listing

    def _stored(self, name: str, make: Callable[..., T]) -> T:
        with reading(self.folder):
            return make(json.loads((self.folder / name).read_text()))

    @cached_property
    def unreadable(self) -> list[tuple[int, str, str]]:
        """Row, path and reason of every file that could not be read."""
        return self._stored(UNREADABLE, lambda found: [(int(row), str(path), str(why)) for row, path, why in found])

    @cached_property
    def kept(self) -> Int64[ndarray, " n"]:
        """The rows of the others."""
        return np.delete(np.arange(len(self.listing.files)), [row for row, *_ in self.unreadable])

    @cached_property
    def content(self) -> str:
        """A hash of what is in the files."""
        return self._stored("meta.json", lambda found: str(found["content"]))

    @cached_property
    def depth(self) -> Depth:
        """The bits that grey images of 16 bits use, of the whole set, where that was measured."""
        return self._stored("depth.json", lambda found: Depth(**found))

    def images(self, shape: tuple[int, int, int]) -> UInt8[ndarray, "n c h w"]:
        """A memory map of the images, where they were kept: one a file."""
        with reading(self.folder):
            return read_array(self.folder / "images.npy", (len(self.listing.files), *shape), np.uint8)

    def refuse_stale(self, root: Path) -> None:
        """Raise DataError where files below `root` that have changed since then hold something else.

        Their sizes and times may be as they were: archives are unpacked with times of their own.
        """
        with reading(self.folder):
            meta, files = self.folder / "meta.json", self.listing.files
            if max((file.changed for file in files), default=0) < meta.stat().st_mtime_ns:
                return
            paths, content = [os.path.join(root, file.path) for file in files], hashlib.sha256()
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                hashes = pool.map(of_file, paths)
                for of_this in tqdm(hashes, "comparing with what was prepared", len(paths), unit="file"):
                    content.update(of_this)
            if content.hexdigest()[:16] != self.content:
                raise DataError(
                    f"{self.folder} was made of other files, which had the names, sizes and times of these: delete it, "
                    "and it is made again."
                )
            with suppress(OSError):  # so that it is not looked at each time
                meta.touch()
