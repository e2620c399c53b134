"""Pictures in the page itself, as many bytes as there is room for."""

import base64
import io
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

CELL = 256
"""Largest side of an image in a row, in pixels: they are shown about 110 wide, on screens of two dots a pixel."""

SHARP = 1024
"""Width up to which a picture is enlarged with sharp pixels; of wider ones pixels are smaller than the screen's."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels with a name; `columns` is how many images stand side by side in it."""

    name: str
    pixels: UInt8[ndarray, "h w c"]
    columns: int = 1

    @property
    def height(self) -> int:
        """In pixels."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.pixels.shape[1]

    @property
    def sharp(self) -> bool:
        """Whether its pixels stay squares."""
        return self.width <= SHARP


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures under one another, each with its name beside it; `note` says what the columns are."""

    rows: Sequence[Picture]
    note: str = ""
    template: ClassVar[str] = "pictures.html"


def row(
    name: str, images: UInt8[ndarray, "n c h w"], columns: int | None = None, empty: Collection[int] = ()
) -> Picture:
    """Images side by side, with gaps that let the page's ground through; in several lines where `columns` says so.

    In place of the images of the numbers `empty` there is nothing.
    """
    n, _, h, w = images.shape
    columns = min(columns or n, n)
    gap = max(1, w // 16)
    lines = math.ceil(n / columns)
    sheet = np.zeros((lines * (h + gap) - gap, columns * (w + gap) - gap, 4), np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[top : top + h, left : left + w, :3] = image.transpose(1, 2, 0)
        sheet[top : top + h, left : left + w, 3] = 0 if i in empty else 255
    return Picture(name, _reduced(sheet, max(h, w) / CELL), columns)


def _reduced(pixels: UInt8[ndarray, "h w c"], times: float) -> UInt8[ndarray, "_ _ c"]:
    """So many times smaller; as they are where that is none."""
    if times <= 1:
        return pixels
    height, width = (max(1, round(side / times)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


class Encoded(NamedTuple):
    """A picture as the bytes of a file, and the kind of file."""

    kind: str
    contents: bytes

    @property
    def uri(self) -> str:
        """The same as the `src` of an image."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.contents).decode()}"


def fitted(pictures: Sequence[Picture], most: int) -> dict[Picture, Encoded]:
    """The pictures as files of at most so many bytes together: the largest are made smaller until they fit."""
    tries = {picture: _ever_smaller(picture) for picture in pictures}
    found = {picture: next(tries[picture]) for picture in pictures}
    while found and sum(len(encoded.contents) for encoded in found.values()) > most:
        largest = max(found, key=lambda picture: len(found[picture].contents))
        smaller = next(tries[largest], None)
        if smaller is None:  # one pixel
            break
        found[largest] = smaller
    return found


def _ever_smaller(picture: Picture) -> Iterator[Encoded]:
    """As PNG; as WebP; and as that of half as many pixels a side, again and again."""
    yield _written(picture.pixels, "png", optimize=True)
    times = 1.0
    while times < 2 * max(picture.width, picture.height):
        yield _written(_reduced(picture.pixels, times), "webp", quality=85)
        times *= math.sqrt(2)


def _written(pixels: UInt8[ndarray, "h w c"], kind: str, **options: int) -> Encoded:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return Encoded(kind, file.getvalue())
