"""What is minimised, by whom and how: objectives, players, optimisers, and the schedules of their rates."""

from vqgen.optim.composite import Composite
from vqgen.optim.groups import ParameterGroup
from vqgen.optim.objective import Objective, weighted
from vqgen.optim.optimizer import make_optimizer
from vqgen.optim.players import Game, Player
from vqgen.optim.rates import Rates
from vqgen.optim.schedules import Constant, Cosine

__all__ = [
    "Composite",
    "Constant",
    "Cosine",
    "Game",
    "Objective",
    "ParameterGroup",
    "Player",
    "Rates",
    "make_optimizer",
    "weighted",
]
