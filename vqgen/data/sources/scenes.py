"""Scenes of several coloured shapes, which may overlap: a harder setting of the drawn shapes."""

from collections.abc import Collection, Iterator, Sequence
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from numpy import ndarray

from vqgen.data.error import require
from vqgen.data.images import Attributes, Split
from vqgen.data.loading.counter import bits, integers, uniform
from vqgen.data.sources.drawn import (
    COLOURS,
    EDGE,
    GROUNDS,
    Drawn,
    Factors,
    alike,
    as_bytes,
    distance_to,
    ground_of,
    painted,
)
from vqgen.data.sources.outlines import DISTANCES

RELATIONS = ("left", "right", "above", "below")
_APART = 0.5  # of two sizes together is the least distance of two centres: none is hidden by another
_TRIES = 512  # places for a shape: the first that is so far from the others is taken, or of all the farthest
_SEEN = 48  # pixels a side, at which overlaps are measured


def draw_scenes(index: Int64[ndarray, " n"], seed: int, fewest: int, most: int) -> Factors:
    """The shapes of the scenes with these numbers, "s n": later ones lie over earlier ones, and -1 are left out.

    Whole shapes lie inside the image, and no two of a scene have the same colour.
    """
    order = np.stack([bits(index, "scene colour", seed, colour) for colour in range(len(COLOURS))])
    colours = np.argsort(order, axis=0, kind="stable")
    ground = integers(index, len(GROUNDS), "scene ground", seed)
    count = fewest + integers(index, most - fewest + 1, "scene count", seed)
    shapes, scale = list[Factors](), min(1.0, sqrt(3 / most))  # they share the place that three of full size have
    for layer in range(most):
        kind = np.where(layer < count, integers(index, len(DISTANCES), "scene shape", seed, layer), -1)
        size = (scale * (0.3 + 0.2 * uniform(index, "scene size", seed, layer))).astype(np.float32)
        x, y = _place(index, seed, size, shapes)
        rotation = uniform(index, "scene rotation", seed, layer).astype(np.float32)
        shapes.append(Factors(kind, colours[layer], ground, size, x, y, rotation))
    return Factors(*map(np.stack, zip(*shapes, strict=True)))


def _place(
    index: Int64[ndarray, " n"], seed: int, size: Float32[ndarray, " n"], below: Sequence[Factors]
) -> Float32[ndarray, "2 n"]:
    """Centres of a layer's shapes, each the first of some tries that is apart from all below, or else the best."""
    places, best = np.zeros((2, len(index)), np.float32), np.full(len(index), -1.0)
    for attempt in range(_TRIES):
        crowded = np.flatnonzero(best < _APART**2)
        if not crowded.size:
            break
        drawn = [uniform(index[crowded], f"scene {axis}", seed, len(below), attempt) for axis in "xy"]
        tried = ((EDGE - size[crowded]) * (2 * np.stack(drawn) - 1)).astype(np.float32)
        apart = _apart(tried, size[crowded], [other.of(crowded) for other in below])
        better = apart > best[crowded]
        places[:, crowded[better]], best[crowded[better]] = tried[:, better], apart[better]
    return places


def _apart(
    places: Float32[ndarray, "2 n"], size: Float32[ndarray, " n"], below: Sequence[Factors]
) -> Float64[ndarray, " n"]:
    """The squared distance to the nearest shape below, over that of shapes that touch; infinite where there is none."""
    nearest = np.full(len(size), np.inf)
    for other in below:
        squared = np.square(places - np.stack([other.x, other.y])).sum(0)
        nearest = np.minimum(nearest, squared / np.square(size + other.size))
    return nearest


def render(scenes: Factors, height: int, width: int) -> UInt8[ndarray, "n 3 h w"]:
    """Draw the scenes with anti-aliasing."""
    images = np.empty((scenes.shape.shape[1], 3, height, width), np.uint8)
    for part in _parts(scenes, height, width):
        images[part] = as_bytes(_painted(scenes.of(part), height, width))
    return images


def _parts(scenes: Factors, height: int, width: int) -> Iterator[slice]:
    """The scenes, as many at a time as fit into little memory."""
    at_once = max(1, 2**18 // (height * width))
    for start in range(0, scenes.shape.shape[1], at_once):
        yield slice(start, start + at_once)


def _painted(scenes: Factors, height: int, width: int) -> Float32[ndarray, "n 3 h w"]:
    image = np.tile(ground_of(scenes.layer(0)), (height, width))
    for layer in map(scenes.layer, range(len(scenes.shape))):
        for chosen in alike(layer.shape, height, width):
            image[chosen] = painted(image[chosen], layer.of(chosen), height, width)
    return image


def overlap(scenes: Factors) -> Float32[ndarray, " n"]:
    """The share of the shapes' area that lies under other shapes, measured at one size of all images."""
    shares = np.empty(scenes.shape.shape[1], np.float32)
    for part in _parts(scenes, _SEEN, _SEEN):
        masks = _masks(scenes.of(part))
        shares[part] = 1 - masks.any(0).sum((1, 2)) / masks.sum((0, 2, 3))
    return shares


def _masks(scenes: Factors) -> Bool[ndarray, "s n h w"]:
    """The pixels whose centres each shape covers."""
    masks = np.zeros((*scenes.shape.shape, _SEEN, _SEEN), bool)
    for mask, layer in zip(masks, map(scenes.layer, range(len(masks))), strict=True):
        for chosen in alike(layer.shape, _SEEN, _SEEN):
            mask[chosen] = distance_to(layer.of(chosen), _SEEN, _SEEN) < 0
    return masks


def by_colour(scenes: Factors) -> Factors:
    """The shapes of each scene in the order of their colours, red first, and those that are left out behind them."""
    order = np.argsort(np.where(scenes.shape < 0, len(COLOURS), scenes.colour), axis=0)
    return Factors(*(np.take_along_axis(factor, order, 0) for factor in scenes))


def relation(scenes: Factors) -> Int64[ndarray, " n"]:
    """Where the first shape lies as seen from the second, in the order of colours, by the larger distance.

    The number is that in `RELATIONS`, or the next where a shape is alone.
    """
    if len(scenes.shape) == 1:
        return np.full(scenes.shape.shape[1], len(RELATIONS))
    first, second = map(by_colour(scenes).layer, range(2))
    x, y = first.x - second.x, first.y - second.y
    found = np.where(np.abs(x) >= np.abs(y), x > 0, 2 + (y > 0))
    return np.where(second.shape < 0, len(RELATIONS), found)


class Scenes(Drawn):
    """Images of some shapes each, of different colours, later ones over earlier ones.

    Which shape is the first must be seen in the picture: it is the one whose colour comes first in `COLOURS`, red
    before orange, yellow, green, blue and violet. The label is the kind of this shape. So there are six classes, those
    of `Shapes`, and to tell one a network must find a shape among others by its colour; the number of shapes would be
    two classes that ask for little. A prior may be given that number too, and the `relation` of the first shape to the
    second, beside the label or in its place (`model/conditioner=scenes`).

    Args:
        min_shapes, max_shapes: shapes of a scene, all numbers equally often; at most one for each colour.
        Others as in Drawn.
    """

    smallest = 16
    class_names = tuple(DISTANCES)
    attribute_names = (*COLOURS, *DISTANCES, *RELATIONS, "count", "overlap", "ground")

    def __init__(self, min_shapes: int, max_shapes: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        most = len(COLOURS)
        require(1 <= max_shapes <= most, "max_shapes", max_shapes, f"expected 1 to {most}, as no two have one colour")
        require(min_shapes >= 1, "min_shapes", min_shapes, "a scene has at least 1 shape")
        require(min_shapes <= max_shapes, "min_shapes", min_shapes, f"expected at most data.max_shapes={max_shapes}")
        self.min_shapes, self.max_shapes = min_shapes, max_shapes

    @property
    def options(self) -> dict[str, object]:
        """The numbers of shapes."""
        return {"shapes": [self.min_shapes, self.max_shapes]}

    @property
    def place(self) -> str:
        """How many shapes, too."""
        return f"{super().place}, of {self.min_shapes} to {self.max_shapes} shapes"

    def factors(self, split: str) -> Factors:
        """What the images of the split show: `draw_scenes`."""
        return self._factors(self.index(split))

    def draw(self, index: Int64[ndarray, " n"], size: int) -> Split:
        """The images with these numbers, the kinds of their first shapes, and what else a prior may be given."""
        scenes = self._factors(index)
        given = {"count": (scenes.shape >= 0).sum(0), "relation": relation(scenes)}
        return Split(render(scenes, size, size), by_colour(scenes).shape[0], given)

    def attributes(self, split: str) -> Attributes:
        """0/1 columns for the colours and kinds of shape that a scene has, and for the relation; then numbers.

        They are the count of shapes, the `overlap`, and the ground's lightness (0 to 1).
        """
        scenes = self.factors(split)
        colour = np.where(scenes.shape < 0, -1, scenes.colour)
        ground = np.array(GROUNDS).mean(1)[scenes.ground[0]] / 255
        numbers = np.stack([(scenes.shape >= 0).sum(0), overlap(scenes), ground], 1)
        there = _there(colour, COLOURS), _there(scenes.shape, DISTANCES), _there(relation(scenes)[None], RELATIONS)
        return Attributes(list(self.attribute_names), np.hstack([*there, numbers]).astype(np.float32))

    def _factors(self, index: Int64[ndarray, " n"]) -> Factors:
        return draw_scenes(index, self.seed, self.min_shapes, self.max_shapes)


def _there(kinds: Int64[ndarray, "s n"], names: Collection[str]) -> Bool[ndarray, "n k"]:
    """Which of the named kinds each scene has; the number behind the last, and -1, are none."""
    return np.eye(len(names) + 1, dtype=bool)[kinds].any(0)[:, :-1]
