"""Coloured shapes on a plain ground, drawn by the project itself: data for a machine without data."""

from collections.abc import Sequence
from math import cos, pi, sin, tau
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray

from vqgen.data.error import require
from vqgen.data.files.array_file import digest
from vqgen.data.images import Attributes, Images, Split
from vqgen.data.loading.counter import integers, uniform

COLOURS = {
    "red": (222, 66, 60),
    "orange": (242, 148, 46),
    "yellow": (250, 212, 66),
    "green": (74, 168, 86),
    "blue": (56, 108, 204),
    "violet": (136, 82, 186),
}
GROUNDS = ((250, 248, 242), (36, 40, 52))
_PROBED = 64  # images, enough to show every shape, colour and ground
_FIRST = {"train": 0, "val": 2**40, "test": 2**41}  # where a split's image numbers start


Plane = Float32[ndarray, "n h w"]

# Signed distances to the outlines of figures of radius 1: negative inside, gradient 1 near the outline. Only arithmetic
# and square roots of float32, which every machine rounds alike.


def circle(u: Plane, v: Plane) -> Plane:
    """A disc of nine tenths of the radius, which looks as large as the others."""
    return np.sqrt(u * u + v * v) - np.float32(0.9)


def ring(u: Plane, v: Plane) -> Plane:
    """A band between two circles."""
    return np.abs(np.sqrt(u * u + v * v) - np.float32(0.72)) - np.float32(0.22)


def square(u: Plane, v: Plane) -> Plane:
    """The square with its corners on the unit circle."""
    return _star(u, v, 4, cos(pi / 4))


def triangle(u: Plane, v: Plane) -> Plane:
    """The equilateral triangle with its corners on the unit circle."""
    return _star(u, v, 3, cos(pi / 3))


def star(u: Plane, v: Plane) -> Plane:
    """A star of five points, its inner corners at 0.45."""
    return _star(u, v, 5, 0.45)


def cross(u: Plane, v: Plane) -> Plane:
    """Two bars across each other."""
    a, b = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return np.maximum(a - np.float32(0.95), b - np.float32(0.3))


def _star(u: Plane, v: Plane, points: int, inner: float) -> Plane:
    """Corners at radius 1 and, halfway between, at radius `inner`: fold into one wedge, measure one edge."""
    u, v = _fold(u, v, points)
    edge_u, edge_v = np.float32(inner * cos(pi / points) - 1), np.float32(inner * sin(pi / points))
    u = u - np.float32(1)
    along = np.clip((u * edge_u + v * edge_v) / (edge_u * edge_u + edge_v * edge_v), 0, 1)
    distance = np.sqrt(np.square(u - along * edge_u) + np.square(v - along * edge_v))
    return np.copysign(distance, edge_v * u - edge_u * v)


def _fold(u: Plane, v: Plane, points: int) -> tuple[Plane, Plane]:
    """Reflect the plane into the wedge of angles 0 to pi/points, as the figure's symmetry allows."""
    normal_u, normal_v = np.float32(-sin(pi / points)), np.float32(cos(pi / points))
    v = np.abs(v)
    for _ in range(points // 2):
        beyond = 2 * np.maximum(u * normal_u + v * normal_v, 0)
        u, v = u - beyond * normal_u, np.abs(v - beyond * normal_v)
    return u, v


DISTANCES = {distance.__name__: distance for distance in (circle, square, triangle, star, ring, cross)}
SYMMETRY = {"circle": 1, "square": 4, "triangle": 3, "star": 5, "ring": 1, "cross": 4}  # turns onto itself


class Factors(NamedTuple):
    """What an image shows. Lengths are in halves of the image's side, the middle of the image is (0, 0)."""

    shape: Int64[ndarray, " n"]
    colour: Int64[ndarray, " n"]
    ground: Int64[ndarray, " n"]
    size: Float32[ndarray, " n"]
    x: Float32[ndarray, " n"]
    y: Float32[ndarray, " n"]
    rotation: Float32[ndarray, " n"]


def draw_factors(index: Int64[ndarray, " n"], seed: int) -> Factors:
    """The factors of the images with these numbers; the whole shape lies inside the image.

    `rotation` is a fraction, in [0, 1), of the angle that brings the shape back onto itself.
    """
    size = 0.6 + 0.25 * uniform(index, "size", seed)
    room = 0.92 - size
    x = room * (2 * uniform(index, "x", seed) - 1)
    y = room * (2 * uniform(index, "y", seed) - 1)
    return Factors(
        integers(index, len(DISTANCES), "shape", seed),
        integers(index, len(COLOURS), "colour", seed),
        integers(index, len(GROUNDS), "ground", seed),
        *(value.astype(np.float32) for value in (size, x, y, uniform(index, "rotation", seed))),
    )


def render(factors: Factors, height: int, width: int) -> UInt8[ndarray, "n 3 h w"]:
    """Draw the images with anti-aliasing: a pixel takes the shape's colour as far as it is covered."""
    images = np.empty((len(factors.shape), 3, height, width), np.uint8)
    at_once = max(1, 2**16 // (height * width))  # temporaries of 256 KiB stay in the cache
    for shape in range(len(DISTANCES)):
        members = np.flatnonzero(factors.shape == shape)
        for start in range(0, len(members), at_once):
            chosen = members[start : start + at_once]
            images[chosen] = _render_same(Factors(*(factor[chosen] for factor in factors)), height, width)
    return images


def _render_same(factors: Factors, height: int, width: int) -> ndarray:
    half = min(height, width) / 2
    u, v = _local_coordinates(factors, height, width, half)
    distance = list(DISTANCES.values())[factors.shape[0]](u, v) * (factors.size * half)[:, None, None]
    cover = np.clip(np.float32(0.5) - distance, 0, 1)[:, None]
    colour = np.array(list(COLOURS.values()), np.float32)[factors.colour][:, :, None, None]
    ground = np.array(GROUNDS, np.float32)[factors.ground][:, :, None, None]
    return (ground + cover * (colour - ground) + np.float32(0.5)).astype(np.uint8)


def _local_coordinates(factors: Factors, height: int, width: int, half: float) -> tuple[ndarray, ndarray]:
    """Pixel centres in the shape's own frame, where its radius is 1."""
    across = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    down = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    symmetry = np.array([SYMMETRY[name] for name in DISTANCES])[factors.shape]
    angle = tau * factors.rotation.astype(np.float64) / symmetry
    scale = factors.size.astype(np.float64)
    c, s = ((f(angle) / scale).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    dx = across[None, None, :].astype(np.float32) - factors.x[:, None, None]
    dy = down[None, :, None].astype(np.float32) - factors.y[:, None, None]
    return c * dx + s * dy, c * dy - s * dx


class Shapes(Images):
    """Images of one shape each; the label is the kind of shape, the other factors are attributes.

    Args:
        size: side of an image in pixels; the pictures are the same at every size, only finer.
        num_train, num_val, num_test: images in each split.
        Others as in Images; `seed` decides the images, too.
    """

    class_names = tuple(DISTANCES)
    attribute_names = (*COLOURS, "ground", "size", "x", "y", "rotation")

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
        require(size >= 8, "size", size, "shapes differ from 8 pixels on")
        self.size = size
        self.numbers = {"train": num_train, "val": num_val, "test": num_test}
        for split, number in self.numbers.items():
            require(number >= 1, f"num_{split}", number, "a split has at least 1 image")

    how = "each drawn from numbers of its own"

    @property
    def place(self) -> str:
        """The project draws them."""
        return f"shapes drawn at {self.size} x {self.size} with seed {self.seed}"

    def count(self, split: str) -> int:
        """As many as were asked for."""
        return self.numbers[split]

    def source(self) -> dict[str, object]:
        """The numbers of images, the seed, and a checksum of some images: another drawing is another source."""
        drawn = render(draw_factors(np.arange(_PROBED), self.seed), 16, 16)
        return {"numbers": self.numbers, "seed": self.seed, "drawn": crc32(drawn.tobytes())}

    def record(self, split: str) -> dict[str, object]:
        """The number of images, and a hash of what decides them: another machine may round a pixel another way."""
        return {"images": self.numbers[split], "digest": digest(_FIRST[split], self.numbers[split], self.seed)}

    def load(self, split: str) -> Split:
        """Draw the split."""
        np.empty((self.numbers[split], 3, self.size, self.size), np.uint8)  # raises at once where it does not fit
        factors = self.factors(split)
        return Split(render(factors, self.size, self.size), factors.shape)

    def factors(self, split: str) -> Factors:
        """What the images of the split show."""
        return draw_factors(_FIRST[split] + np.arange(self.numbers[split]), self.seed)

    def attributes(self, split: str) -> Attributes:
        """A 0/1 column for each colour, then the ground's lightness (0 to 1) and the other factors."""
        factors = self.factors(split)
        colours = np.eye(len(COLOURS))[factors.colour]
        ground = np.array(GROUNDS).mean(1)[factors.ground] / 255
        rest = np.stack([ground, factors.size, factors.x, factors.y, factors.rotation], 1)
        return Attributes(list(self.attribute_names), np.hstack([colours, rest]).astype(np.float32))
