"""The bytes of a compressed file: one image, or blocks of several images that share a header."""

import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from vqgen.errors import UserError
from vqgen.tasks.header import HEADER_SIZE, Header

CHECKSUM_SIZE = 2


class Block(NamedTuple):
    """Images whose codes are coded with the same models and steps.

    After the header come, where it says that there are several images, their number and how many bytes each has; the
    label of each in as many bytes as it needs (none where there are no classes, no class being the one after the last);
    a checksum of all this and the codes; and the bytes of each image, from the arithmetic coder.
    """

    header: Header
    labels: list[int | None]
    words: list[bytes]
    checksum: bytes

    def start(self, num_classes: int) -> bytes:
        """What stands before the checksum."""
        sizes = [_number(n) for n in (len(self.words), *map(len, self.words))] if self.header.several else []
        width = _label_width(num_classes)
        labels = [(num_classes if label is None else label).to_bytes(width, "big") for label in self.labels]
        return b"".join([self.header.pack(), *sizes, *labels])

    def with_checksum(self, codes: Sequence[Int[Tensor, "b _ _"]], num_classes: int) -> "Block":
        """The same with the checksum of these codes, top level first."""
        numbers = b"".join(c.cpu().numpy().astype("<u4").tobytes() for c in codes)
        digits = zlib.crc32(self.start(num_classes) + numbers) & (256**CHECKSUM_SIZE - 1)
        return self._replace(checksum=digits.to_bytes(CHECKSUM_SIZE, "big"))

    def pack(self, num_classes: int) -> bytes:
        """The block's bytes."""
        return b"".join([self.start(num_classes), self.checksum, *self.words])


def blocks(contents: bytes, num_classes: int) -> Iterator[Block]:
    """The blocks of a file whose models have so many classes. Raises UserError where something is wrong with it."""
    rest, width = BytesIO(contents), _label_width(num_classes)
    while rest.tell() < len(contents) or not contents:
        header = Header.unpack(rest.read(HEADER_SIZE))
        sizes = [_taken_number(rest) for _ in range(_taken_number(rest))] if header.several else [-1]  # -1: all of it
        labels = [int.from_bytes(rest.read(width), "big") for _ in sizes]
        if not sizes:
            raise UserError("the file is damaged: it says that there is no image")
        if max(labels) > num_classes:
            raise UserError(f"the file is damaged: it says class {max(labels)}, and there are {num_classes}")
        checksum, words = rest.read(CHECKSUM_SIZE), [rest.read(size) for size in sizes]
        if any(len(word) < size for word, size in zip(words, sizes, strict=True)):
            raise UserError("the file is damaged: it ends before its codes do")
        yield Block(header, [None if label == num_classes else label for label in labels], words, checksum)


def _label_width(num_classes: int) -> int:
    return -(-num_classes.bit_length() // 8)


def _number(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the eighth bit (LEB128)."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _taken_number(rest: BytesIO) -> int:
    """The next number of what is to be read."""
    number = shift = 0
    while byte := rest.read(1):
        number |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return number
        shift += 7
    raise UserError("the file is damaged: it ends inside a number")
