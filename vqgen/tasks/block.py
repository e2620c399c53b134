"""The bytes of a compressed file: one image, or blocks of several images that share a header."""

import zlib
from collections.abc import Iterator, Sequence
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
    rest = contents
    while rest or not contents:
        header = Header.unpack(rest)
        rest, count, sizes = rest[HEADER_SIZE:], 1, None
        if header.several:
            count, rest = _taken_number(rest)
            sizes = []
            for _ in range(count):
                size, rest = _taken_number(rest)
                sizes.append(size)
        width = _label_width(num_classes)
        labels = [int.from_bytes(rest[i * width : (i + 1) * width], "big") for i in range(count)]
        rest = rest[count * width :]
        checksum, rest = rest[:CHECKSUM_SIZE], rest[CHECKSUM_SIZE:]
        if any(label > num_classes for label in labels):
            raise UserError(f"the file is damaged: it says class {max(labels)}, and there are {num_classes}")
        words = []
        for size in [len(rest)] if sizes is None else sizes:
            if size > len(rest):
                raise UserError("the file is damaged: it ends before its codes do")
            words.append(rest[:size])
            rest = rest[size:]
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


def _taken_number(contents: bytes) -> tuple[int, bytes]:
    """The number at the beginning, and what stands behind it."""
    number = 0
    for i, byte in enumerate(contents):
        number |= (byte & 127) << 7 * i
        if byte < 128:
            return number, contents[i + 1 :]
    raise UserError("the file is damaged: it ends inside a number")
