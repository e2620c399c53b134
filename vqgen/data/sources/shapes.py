"""Coloured shapes on a plain ground, drawn by the project itself: data for a machine without data."""

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from vqgen.data.images import Attributes, Split
from vqgen.data.loading.counter import integers, uniform
from vqgen.data.sources.drawn import COLOURS, EDGE, GROUNDS, Drawn, Factors, alike, as_bytes, ground_of, painted
from vqgen.data.sources.outlines import DISTANCES


def draw_factors(index: Int64[ndarray, " n"], seed: int) -> Factors:
    """The factors of the images with these numbers; the whole shape lies inside the image."""
    size = 0.6 + 0.25 * uniform(index, "size", seed)
    room = EDGE - size
    x = room * (2 * uniform(index, "x", seed) - 1)
    y = room * (2 * uniform(index, "y", seed) - 1)
    return Factors(
        integers(index, len(DISTANCES), "shape", seed),
        integers(index, len(COLOURS), "colour", seed),
        integers(index, len(GROUNDS), "ground", seed),
        *(value.astype(np.float32) for value in (size, x, y, uniform(index, "rotation", seed))),
    )


def render(factors: Factors, height: int, width: int) -> UInt8[ndarray, "n 3 h w"]:
    """Draw the images with anti-aliasing."""
    images = np.empty((len(factors.shape), 3, height, width), np.uint8)
    for chosen in alike(factors.shape, height, width):
        part = factors.of(chosen)
        images[chosen] = as_bytes(painted(ground_of(part), part, height, width))
    return images


class Shapes(Drawn):
    """Images of one shape each; the label is the kind of shape, the other factors are attributes. Args as in Drawn."""

    class_names = tuple(DISTANCES)
    attribute_names = (*COLOURS, "ground", "size", "x", "y", "rotation")

    def draw(self, index: Int64[ndarray, " n"], size: int) -> Split:
        """The images with these numbers and their kinds of shape."""
        factors = draw_factors(index, self.seed)
        return Split(render(factors, size, size), factors.shape)

    def factors(self, split: str) -> Factors:
        """What the images of the split show."""
        return draw_factors(self.index(split), self.seed)

    def attributes(self, split: str) -> Attributes:
        """A 0/1 column for each colour, then the ground's lightness (0 to 1) and the other factors."""
        factors = self.factors(split)
        colours = np.eye(len(COLOURS))[factors.colour]
        ground = np.array(GROUNDS).mean(1)[factors.ground] / 255
        rest = np.stack([ground, factors.size, factors.x, factors.y, factors.rotation], 1)
        return Attributes(list(self.attribute_names), np.hstack([colours, rest]).astype(np.float32))
