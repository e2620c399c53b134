"""The cells that a map divides an image into."""

from collections.abc import Sequence
from typing import NamedTuple


class Cell(NamedTuple):
    """A place of a map, and its pixels."""

    row: int
    column: int
    top: float
    left: float
    height: float
    width: float

    def frame(self, colour: str) -> str:
        """A frame around it, as SVG."""
        return rectangle(*self[2:], f"fill:none; stroke:{colour}; stroke-width:.6")


def cell_at(size: Sequence[int], grid: Sequence[int], x: float, y: float) -> Cell:
    """The cell at a point of an image of `size` = (height, width), of a map of `grid` = (rows, columns)."""
    height, width = size[0] / grid[0], size[1] / grid[1]
    row = min(max(int(y / height), 0), grid[0] - 1)
    column = min(max(int(x / width), 0), grid[1] - 1)
    return Cell(row, column, row * height, column * width, height, width)


def rectangle(top: float, left: float, height: float, width: float, style: str) -> str:
    """A rectangle as SVG, in pixels of an image."""
    return f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" style="{style}"/>'
