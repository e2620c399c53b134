"""Figures of the plane by the signed distances to their outlines."""

from math import cos, pi, sin

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

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
