"""What is minimised, and how: objectives, optimisers and the schedules of their rates."""

from vqgen.optim.objective import Objective, weighted
from vqgen.optim.schedules import Constant, Cosine

__all__ = [
    "Constant",
    "Cosine",
    "Objective",
    "weighted",
]
