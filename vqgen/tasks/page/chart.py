"""Charts as SVG in the page itself: their colours are those of its style, in light, dark and print."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, TypeAlias

from matplotlib.ticker import MaxNLocator

from vqgen.pictures.plots import MINUS

Point: TypeAlias = tuple[float, float]

WIDTH, HEIGHT = 360, 210
"""Of a chart, in its own units; about as many pixels on a screen."""

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 10, 34
MOST_POINTS = 300
"""Of a line: more are not seen."""

_FEW = 6  # values of an axis that are all named
_NUM_COLOURS = 10  # of the style
_MARGIN = 0.06
_LEAST = 1e-300  # nearer to 0 there is no range around a number
_ROUNDED = 1e-9  # of the range of an axis


class Tick(NamedTuple):
    """A named place of an axis."""

    at: float
    text: str


class Series(NamedTuple):
    """Points of one name and colour; `mark` is line, step, dots or ring, as the style draws them."""

    name: str
    points: Sequence[Point]
    mark: str = "line"
    colour: int | None = None

    @property
    def css(self) -> str:
        """The classes of the style."""
        return f"{self.mark} " + ("muted" if self.colour is None else f"c{self.colour % _NUM_COLOURS}")


class Axis:
    """Where values lie between two ends in the drawing.

    Args:
        values: that are to be seen.
        start: place of the least of them.
        end: place of the greatest.
        log: whether equal ratios, and not differences, are as far apart.
        margin: room beyond the values on either side, as a part of their range.
        named: the only values to have ticks, of a few; None chooses round ones.
    """

    def __init__(
        self,
        values: Sequence[float],
        start: int,
        end: int,
        log: bool = False,
        margin: float = 0.0,
        named: Sequence[float] | None = None,
    ) -> None:
        self.log, self._start, self._end, self._named = log, start, end, named
        scaled = [self._scaled(value) for value in values] or [0.0, 1.0]
        low, high = min(scaled), max(scaled)
        around = margin * (high - low) if high > low else 0.5 * (abs(high) if abs(high) > _LEAST else 1.0)
        self._low, self._high = low - around, high + around

    def place(self, value: float) -> float:
        """Where a value lies."""
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    @property
    def ticks(self) -> list[Tick]:
        """The values that are named."""
        if self._named is not None:
            return [Tick(self.place(value), text(value)) for value in self._named]
        if self.log:
            return [Tick(self.place(value), text(value)) for value in _of_decades(self._low, self._high)]
        found = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(self._low, self._high)
        slack = _ROUNDED * (self._high - self._low)
        inside = [float(t) for t in found if self._low - slack <= t <= self._high + slack]
        return [Tick(self.place(value), text(value)) for value in inside]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value


@dataclass(frozen=True, eq=False)
class Chart:
    """Points over two axes.

    Args:
        title: what is measured.
        series: drawn one over the other, the last on top.
        x_name: what lies across.
        categories: names of the whole numbers across, from 0, where these are no numbers.
        square: whether both axes have one scale, as in a plane of latents.
    """

    title: str
    series: Sequence[Series]
    x_name: str = "step"
    categories: Sequence[str] = ()
    square: bool = False
    template: ClassVar[str] = "chart.html"
    width: ClassVar[int] = WIDTH
    left: ClassVar[int] = LEFT
    right: ClassVar[int] = WIDTH - RIGHT

    @property
    def height(self) -> int:
        """Of the drawing."""
        return WIDTH - LEFT - RIGHT + TOP + BOTTOM if self.square else HEIGHT

    @property
    def bottom(self) -> int:
        """Where the axis across lies."""
        return self.height - BOTTOM

    @cached_property
    def x(self) -> Axis:
        """The axis across."""
        values = self._values(0)
        if self.categories:
            return Axis([-0.5, len(self.categories) - 0.5], LEFT, self.right)
        few = sorted(set(values)) if len(set(values)) <= _FEW and self._scattered else None
        log, margin = self._scattered and not self.square and _wide(values, 10.0), _MARGIN if self._scattered else 0.0
        return Axis(values, LEFT, self.right, log, margin, few)

    @cached_property
    def y(self) -> Axis:
        """The axis upwards."""
        values = self._values(1)
        return Axis(values, self.bottom, TOP, not self.square and _wide(values, 50.0), _MARGIN)

    @property
    def x_ticks(self) -> list[Tick]:
        """The names across."""
        if self.categories:
            return [Tick(self.x.place(float(i)), shortened(name)) for i, name in enumerate(self.categories)]
        return self.x.ticks

    @property
    def keys(self) -> list[Series]:
        """What the legend names, each name once."""
        return list({one.name: one for one in self.series if one.name}.values())

    def path(self, series: Series) -> str:
        """The `d` of a series: a line through its points, or a dot at each."""
        points = thinned(series.points) if series.mark == "line" else list(series.points)
        places = [(self.x.place(x), self.y.place(y)) for x, y in points]
        if series.mark in ("dots", "ring"):
            return "".join(f"M{x:g} {y:g}h0" for x, y in places)
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)

    @property
    def _scattered(self) -> bool:
        return any(one.mark == "dots" for one in self.series)

    def _values(self, axis: int) -> list[float]:
        own = [point[axis] for one in self.series for point in one.points]
        other = [point[1 - axis] for one in self.series for point in one.points]
        return [*own, *_padding(own, other)] if self.square else own


def _of_decades(low: float, high: float) -> list[float]:
    """Round values between two powers of ten, given by their exponents: of each decade, or more of few decades."""
    for leading in ((1,), (1, 3), (1, 2, 5)):
        decades = range(math.floor(low), math.ceil(high) + 1)
        found = [float(f"{first}e{n}") for n in decades for first in leading]
        inside = [value for value in found if value > 0 and low <= math.log10(value) <= high]
        if len(inside) >= 3:
            break
    return inside[:: max(1, -(-len(inside) // _FEW))]


def _padding(own: Sequence[float], other: Sequence[float]) -> list[float]:
    """Values that make the range of one axis as long as that of the other."""
    middle, half = (max(own) + min(own)) / 2, max(max(own) - min(own), max(other) - min(other)) / 2
    return [middle - half, middle + half]


def _wide(values: Sequence[float], times: float) -> bool:
    """Whether values are above zero and the greatest is at least so many times the least."""
    return bool(values) and min(values) > 0 and max(values) >= times * min(values)


def thinned(points: Sequence[Point]) -> list[Point]:
    """Evenly spaced ones of many points, with the last."""
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], *points[-1:]]


def text(value: float) -> str:
    """A value of an axis in few letters: 12k, 0.001, 3e-04."""
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-3:
        return f"{value:.2g}".replace("-", MINUS)
    short = f"{value / 1000:.3g}k" if abs(value) >= 10000 else f"{value:,.4g}"
    return short.replace("-", MINUS)


def shortened(name: str, most: int = 14) -> str:
    """A name of at most so many letters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
