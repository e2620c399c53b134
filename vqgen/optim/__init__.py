"""Optimisers and the schedules of their rates."""

from vqgen.optim.schedules import Constant, Cosine

__all__ = [
    "Constant",
    "Cosine",
]
