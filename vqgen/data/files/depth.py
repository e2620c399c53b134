"""How many of their 16 bits the grey images of a set use: scanners and cameras write 10, 12 or 14 into 16."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from vqgen.data.files.decode import MAX_PIXELS, is_deep
from vqgen.data.files.member import source_of

_DEEP = (".png", ".tif", ".tiff", ".pgm", ".pnm", ".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c", "")  # may be
_DARK = 128  # of 256: a set of colour images of 16 bits that uses fewer levels gets a warning


class Depth(NamedTuple):
    """How bright the images of 16 bits in a set are."""

    brightest: int = 0  # the largest value in a grey image
    grey: int = 0  # number of grey images
    dark: int = 0  # number of grey images that are much darker than the brightest
    brightest_colour: int = 0  # the largest value in a colour image, in the 8 bits that it is read as
    colour: int = 0  # number of colour images

    @property
    def white(self) -> int:
        """The largest number of as many bits, 8 at least; 65535 where there are no such images."""
        return 2 ** max(8, self.brightest.bit_length()) - 1 if self.brightest else 2**16 - 1

    def warnings(self) -> list[str]:
        """Warnings where not all bits are used."""
        said = []
        if self.white < 2**16 - 1:
            said.append(
                f"The {self.grey} grey images of 16 bits use {self.white.bit_length()} of them: {self.white} is taken "
                "for white. data.white=65535 takes them as they are."
            )
        if self.dark:
            said.append(
                f"{self.dark} of {self.grey} grey images of 16 bits use 4 bits fewer than the others, and are nearly "
                "black beside them: keep those of one camera in one folder, or set data.white."
            )
        if self.colour and self.brightest_colour < _DARK:
            said.append(
                f"The {self.colour} colour images of 16 bits use {self.brightest_colour + 1} of 256 levels when read "
                "as 8 bits: save them as 8 bits, scaled to their range."
            )
        return said

    def notes(self) -> list[str]:
        """The same in short."""
        grey = [f"{self.grey:,} grey images of 16 bits, white is {self.white}"] if self.grey else []
        return grey + ([f"{self.colour:,} colour images of 16 bits, read as 8"] if self.colour else [])


def measure(root: str, paths: Sequence[bytes]) -> Depth:
    """Look at all files that may have 16 bits; those that cannot be read count for nothing."""
    deep = [path for path in paths if os.path.splitext(os.fsdecode(path))[1].lower() in _DEEP]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return depth_of(pool.map(brightest, (os.path.join(os.fsencode(root), path) for path in deep)))


def depth_of(values: Iterable[tuple[int, bool] | None]) -> Depth:
    """What all images of a set are together, of `brightest` of each."""
    found = [one for one in values if one]
    grey, colour = ([value for value, is_grey in found if is_grey == kind] for kind in (True, False))
    most = max(grey, default=0)
    dark = sum(value.bit_length() <= most.bit_length() - 4 for value in grey)
    return Depth(most, len(grey), dark, max(colour, default=0), len(colour))


def brightest(file: bytes | BytesIO) -> tuple[int, bool] | None:
    """The largest number in an image of 16 bits, at a path or open, and whether it is grey; None of others."""
    try:
        with Image.open(source_of(file) if isinstance(file, bytes) else file) as image:
            if not is_deep(image) or image.width * image.height > MAX_PIXELS:
                return None
            grey = image.mode.startswith("I")
            return int(np.asarray(image).max()), grey
    except Exception:  # decoding reports it
        return None
