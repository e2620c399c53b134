"""Files within tar files, under a path of their own: FOLDER/train-000.tar@OFFSET+SIZE/NAME.jpg."""

import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tarfile import TarError
from tarfile import open as open_tar
from typing import NamedTuple, TypeAlias

from vqgen.errors import DataError, first_line

AnyPath: TypeAlias = str | bytes | os.PathLike[str]

BLOCK = 512  # bytes; at least one of zeros ends a tar file
_MEMBER = re.compile(rb"(?P<tar>.*\.(?i:tar))@(?P<offset>\d+)\+(?P<size>\d+)/[^/]*", re.DOTALL)


class Member(NamedTuple):
    """A file in a tar file: its name there, where its bytes begin, and how many they are."""

    name: str
    offset: int
    size: int

    def path(self, tar: str) -> str:
        """What `source_of` finds it by; sorted, they are in their order there."""
        return f"{tar}@{self.offset:012}+{self.size}/{self.name.replace('/', '_')}"


def tar_of(path: str) -> str:
    """The path of the tar file that the file at a path is in."""
    found = _MEMBER.fullmatch(os.fsencode(path))
    assert found
    return os.fsdecode(found["tar"])


def opened(path: AnyPath) -> io.BytesIO | io.BufferedReader:
    """A file, or one within a tar file, to read its bytes."""
    source = source_of(path)
    return source if isinstance(source, io.BytesIO) else open(path, "rb")


def source_of(path: AnyPath) -> AnyPath | io.BytesIO:
    """What a reader opens for a path: the path itself, or the bytes of a file within a tar file."""
    if not (found := _MEMBER.fullmatch(os.fsencode(path))):
        return path
    with open(found["tar"], "rb") as file:
        file.seek(int(found["offset"]))
        return io.BytesIO(file.read(int(found["size"])))


def members(tar: Path, left_out: Counter[str] | None = None) -> Iterator[Member]:
    """The ordinary files in a tar file, in their order; others but folders are counted in `left_out`.

    Raises:
        DataError: it is damaged, or compressed, so that nothing in it can be found by its place.
    """
    try:
        with open_tar(tar, "r:") as archive:
            for found in archive:
                if found.isreg() and not found.issparse():
                    yield Member(found.name, found.offset_data, found.size)
                elif left_out is not None and not found.isdir():
                    left_out["links and sparse files in tar files"] += 1
            end = archive.offset
    except TarError as error:
        raise DataError(f"{tar} is no whole tar file ({first_line(error)}): unpack it if it is compressed.") from error
    with open(tar, "rb") as file:  # Python's reader takes a damaged header for the end
        file.seek(end)
        blocks = iter(partial(file.read, 2**20), b"")
        first = next(blocks, b"")
        if len(first) < BLOCK or any(first) or any(map(any, blocks)):
            raise DataError(f"{tar} is damaged, or several tar files in one, at byte {end:,}: put a whole one there.")
