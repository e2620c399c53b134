"""Images that the project draws itself: colours, shapes with anti-aliasing, and what their sources share."""

from collections.abc import Iterator, Mapping, Sequence
from math import tau
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray

from vqgen.data.error import require
from vqgen.data.files.array_file import digest
from vqgen.data.images import Images, Split
from vqgen.data.sources.outlines import DISTANCES, SYMMETRY, Plane

COLOURS = {
    "red": (222, 66, 60),
    "orange": (242, 148, 46),
    "yellow": (250, 212, 66),
    "green": (74, 168, 86),
    "blue": (56, 108, 204),
    "violet": (136, 82, 186),
}
GROUNDS = ((250, 248, 242), (36, 40, 52))
EDGE = 0.92  # where the shapes end, in halves of the image's side from its middle
_PROBED = 64  # images, enough to show every shape, colour and ground
_FIRST = {"train": 0, "val": 2**40, "test": 2**41}  # where a split's image numbers start


class Factors(NamedTuple):
    """Shapes and their grounds. Lengths are in halves of the image's side, the middle of the image is (0, 0)."""

    shape: Int64[ndarray, "*n"]  # in the order of `DISTANCES`; -1 is none
    colour: Int64[ndarray, "*n"]
    ground: Int64[ndarray, "*n"]
    size: Float32[ndarray, "*n"]
    x: Float32[ndarray, "*n"]
    y: Float32[ndarray, "*n"]
    rotation: Float32[ndarray, "*n"]  # a fraction, in [0, 1), of the angle that brings the shape back onto itself

    def of(self, images: Int64[ndarray, " m"] | slice) -> "Factors":
        """Those of some of the images."""
        return Factors(*(factor[..., images] for factor in self))

    def layer(self, number: int) -> "Factors":
        """One shape of each image, where images have several."""
        return Factors(*(factor[number] for factor in self))


def alike(shape: Int64[ndarray, " n"], height: int, width: int) -> Iterator[Int64[ndarray, " _"]]:
    """The images of each kind of shape, a few at a time, as they are drawn; those without a shape are left out."""
    at_once = max(1, 2**16 // (height * width))  # temporaries of 256 KiB stay in the cache
    for kind in range(len(DISTANCES)):
        members = np.flatnonzero(shape == kind)
        for start in range(0, len(members), at_once):
            yield members[start : start + at_once]


def ground_of(factors: Factors) -> Float32[ndarray, "n 3 1 1"]:
    """The colour of the ground."""
    return np.array(GROUNDS, np.float32)[factors.ground][:, :, None, None]


def painted(
    under: Float32[ndarray, "n 3 _ _"], factors: Factors, height: int, width: int
) -> Float32[ndarray, "n 3 h w"]:
    """Shapes of one kind over what is under them: a pixel takes the shape's colour as far as it is covered."""
    half = min(height, width) / 2
    distance = distance_to(factors, height, width) * (factors.size * half)[:, None, None]
    cover = np.clip(np.float32(0.5) - distance, 0, 1)[:, None]
    colour = np.array(list(COLOURS.values()), np.float32)[factors.colour][:, :, None, None]
    return under + cover * (colour - under)


def as_bytes(image: Float32[ndarray, "*n"]) -> UInt8[ndarray, "*n"]:
    """Values from 0 to 255, rounded."""
    return (image + np.float32(0.5)).astype(np.uint8)


def distance_to(factors: Factors, height: int, width: int) -> Plane:
    """Signed distances of the pixels' centres to outlines of one kind, where the radius is 1."""
    half = min(height, width) / 2
    across = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    down = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    symmetry = np.array([SYMMETRY[name] for name in DISTANCES])[factors.shape]
    angle = tau * factors.rotation.astype(np.float64) / symmetry
    scale = factors.size.astype(np.float64)
    c, s = ((f(angle) / scale).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    dx = across[None, None, :].astype(np.float32) - factors.x[:, None, None]
    dy = down[None, :, None].astype(np.float32) - factors.y[:, None, None]
    return list(DISTANCES.values())[factors.shape[0]](c * dx + s * dy, c * dy - s * dx)


class Drawn(Images):
    """A source of drawn images. A subclass defines `draw` and, where it has options of its own, `options`.

    Args:
        size: side of an image in pixels; the pictures are the same at every size, only finer.
        num_train, num_val, num_test: images in each split.
        Others as in Images; `seed` decides the images, too.
    """

    smallest = 8  # pixels, from which on shapes differ
    how = "each drawn from numbers of its own"

    def __init__(
        self,
        size: int,
        shape: Sequence[int],
        num_train: int,
        num_val: int,
        num_test: int,
        batch_size: int,
        seed: int,
        num_workers: int,
    ) -> None:
        super().__init__(shape, batch_size, seed, num_workers)
        require(size >= self.smallest, "size", size, f"shapes differ from {self.smallest} pixels on")
        self.size = size
        self.numbers = {"train": num_train, "val": num_val, "test": num_test}
        for split, number in self.numbers.items():
            require(number >= 1, f"num_{split}", number, "a split has at least 1 image")

    def draw(self, index: Int64[ndarray, " n"], size: int) -> Split:
        """The images with these numbers, and what is given of each."""
        raise NotImplementedError

    @property
    def options(self) -> Mapping[str, object]:
        """Further plain values that decide the images."""
        return {}

    @property
    def place(self) -> str:
        """The project draws them."""
        return f"{type(self).__name__.lower()} drawn at {self.size} x {self.size} with seed {self.seed}"

    def count(self, split: str) -> int:
        """As many as were asked for."""
        return self.numbers[split]

    def source(self) -> dict[str, object]:
        """The numbers of images, what decides them, and a checksum of some: another drawing is another source."""
        drawn = self.draw(np.arange(_PROBED), 16).images[:]
        return {"numbers": self.numbers, "seed": self.seed, "drawn": crc32(drawn.tobytes()), **self.options}

    def record(self, split: str) -> dict[str, object]:
        """The number of images, and a hash of what decides them: another machine may round a pixel another way."""
        decided = (_FIRST[split], self.numbers[split], self.seed, *self.options.values())
        return {"images": self.numbers[split], "digest": digest(*decided)}

    def load(self, split: str) -> Split:
        """Draw the split."""
        np.empty((self.numbers[split], 3, self.size, self.size), np.uint8)  # raises at once where it does not fit
        return self.draw(self.index(split), self.size)

    def index(self, split: str) -> Int64[ndarray, " _"]:
        """The numbers of a split's images."""
        return _FIRST[split] + np.arange(self.numbers[split])
