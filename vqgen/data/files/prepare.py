"""Reading every image file once: to find the bad ones, and to keep the images as an array where that fits."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from tqdm import tqdm

from vqgen.data.files.array_file import ArrayFile, read_array
from vqgen.data.files.decode import UnreadableError, decode, shown
from vqgen.data.files.digest import of_file
from vqgen.errors import DataError
from vqgen.runs.atomic import reading

UNREADABLE, _META = "unreadable.json", "meta.json"
_FORMAT = 3
_AT_ONCE, _MOST_BYTES = 256, 2**28   # images, and their bytes, handed to the decoding threads together


@dataclass(frozen=True)
class Decoder:
    """How the files below `root` become images of `shape`; `window` and `white` as in `decode`."""

    root: str
    shape: tuple[int, int, int]
    window: int | None
    white: int = 2**16 - 1

    def __call__(self, path: bytes) -> UInt8[ndarray, "c h w"]:
        """The image at a path below the root. Raises UnreadableError."""
        return decode(os.path.join(os.fsencode(self.root), path), self.shape, self.window, self.white)

    def attempt(self, path: bytes) -> "Attempt":
        """The image, or why there is none, and a hash of the file."""
        content = of_file(os.path.join(os.fsencode(self.root), path))
        try:
            return Attempt(self(path), content)
        except UnreadableError as error:
            return Attempt(str(error), content)


class Attempt(NamedTuple):
    """An image, or why there is none, and a hash of the file's bytes."""

    image: ndarray | str
    content: bytes


class Preparation(NamedTuple):
    """What a folder was prepared of, and by which version: kept in it, for what looks at it later.

    `origin` is the root of the files, `files` a hash of all of them there (names, sizes, times), and `content` one of
    what is in those of the split.
    """

    origin: str
    files: str
    content: str
    format: int = _FORMAT

    def write(self, folder: Path) -> None:
        """Write it into the folder."""
        (folder / _META).write_text(json.dumps(self._asdict(), indent=1))

    def replaces(self, other: Mapping[str, Any]) -> bool:
        """Whether another preparation is of another version, or of these files before they changed."""
        return other.get("format") != self.format or (
            other.get("origin") == self.origin and other.get("files") != self.files
        )


class Decoded:
    """Images decoded when they are asked for (Pixels). Paths below the decoder's root are held as bytes."""

    def __init__(self, decoder: Decoder, paths: ndarray) -> None:
        self.decoder, self.paths = decoder, paths

    @property
    def shape(self) -> tuple[int, ...]:
        """n, c, h, w."""
        return len(self.paths), *self.decoder.shape

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> UInt8[ndarray, "n c h w"]:
        paths = self.paths[index]
        return self.decode_into(np.empty((len(paths), *self.decoder.shape), np.uint8), index)

    def decode_into(self, images: UInt8[ndarray, "n c h w"], index: Any) -> UInt8[ndarray, "n c h w"]:
        """Decode the images at these indices into an array, and return it."""
        for image, path in zip(images, self.paths[index], strict=True):
            try:
                image[...] = self.decoder(path)
            except UnreadableError as error:
                place = shown(os.path.join(os.fsencode(self.decoder.root), path))
                raise DataError(
                    f"{place} was an image when the files were checked, and is none now ({error}): put it back."
                ) from error
        return images


class Rows:
    """Some rows of an array of images (Pixels)."""

    def __init__(self, images: ndarray, rows: ndarray) -> None:
        self.images, self.rows = images, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """n, c, h, w."""
        return len(self.rows), *self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> UInt8[ndarray, "n c h w"]:
        return self.images[self.rows[index]]


def prepare(decoder: Decoder, paths: Sequence[bytes], folder: Path, keep: bool, title: str) -> str:
    """Decode all files with all cores and a progress bar; write images.npy, if `keep`, and unreadable.json.

    The row of an unreadable file stays black. Returns a hash of what is in the files.
    """
    results = tqdm(_decoded(decoder, paths), title, len(paths), unit="image", smoothing=0.05)
    unreadable: list[tuple[int, str, str]] = []
    black, content = np.zeros(decoder.shape, np.uint8), hashlib.sha256()
    with ArrayFile(folder / "images.npy", np.uint8, (len(paths), *decoder.shape)) if keep else nullcontext() as file:
        for row, (result, of_this) in enumerate(results):
            content.update(of_this)
            if isinstance(result, str):
                unreadable.append((row, shown(paths[row]), result))
            if file is not None:
                file.append(black[None] if isinstance(result, str) else result[None])
    (folder / UNREADABLE).write_text(json.dumps(unreadable, indent=1))
    return content.hexdigest()[:16]


def refuse_stale(folder: Path, paths: Sequence[bytes], changed: int) -> None:
    """Raise DataError where files that have `changed` (ns) since a folder was prepared of them hold something else.

    Their sizes and times may be as they were: archives are unpacked with times of their own.
    """
    meta = folder / _META
    if changed < meta.stat().st_mtime_ns:
        return
    content = hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for of_this in tqdm(pool.map(of_file, paths), "comparing with what was prepared", len(paths), unit="file"):
            content.update(of_this)
    if content.hexdigest()[:16] != preparation(folder).content:
        raise DataError(
            f"{folder} was made of other files, which had the names, sizes and times of these: delete it, and it is "
            "made again."
        )
    with suppress(OSError):   # so that it is not looked at each time
        meta.touch()


def unreadable_files(folder: Path) -> list[tuple[int, str, str]]:
    """Row, path and reason of every file that `prepare` could not read. Raises DataError if that is damaged."""
    with reading(folder):
        found = json.loads((folder / UNREADABLE).read_text())
        return [(int(row), str(path), str(reason)) for row, path, reason in found]


def preparation(folder: Path) -> Preparation:
    """What a folder was prepared of. Raises DataError if that is damaged."""
    with reading(folder):
        return Preparation(**json.loads((folder / _META).read_text()))


def prepared_images(folder: Path, shape: tuple[int, ...]) -> UInt8[ndarray, "n c h w"]:
    """A memory map of the images that `prepare` kept. Raises DataError unless they have this shape."""
    with reading(folder):
        return read_array(folder / "images.npy", shape, np.uint8)


def _decoded(decoder: Decoder, paths: Sequence[bytes]) -> Iterator[Attempt]:
    """The results in order; one part is decoded while the one before it is used."""
    at_once = max(1, min(_AT_ONCE, _MOST_BYTES // math.prod(decoder.shape)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: list[Future[Attempt]] = []
        for start in range(0, len(paths), at_once):
            submitted = [pool.submit(decoder.attempt, path) for path in paths[start : start + at_once]]
            yield from (future.result() for future in waiting)
            waiting = submitted
        yield from (future.result() for future in waiting)
