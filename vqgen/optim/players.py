"""Players: who trains which parameters for which objective."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from vqgen.errors import ConfigError
from vqgen.optim.objective import Objective
from vqgen.optim.schedules import Constant


class Player(NamedTuple):
    """One that trains some of a model's parameters for an objective of its own.

    Args:
        name: what the figures of every player but the first begin with, `critic_loss`.
        parameters: regular expression that the full names of its parameters, and of buffers that are its own, begin
            with, such as `critic\\.`; empty for all that are no other player's.
        objective: from a batch and the `outputs` of the players before.
        optimizer: makes its optimiser.
        schedule: of its learning rate.
    """

    name: str
    parameters: str
    objective: Callable[..., Objective]
    optimizer: Callable[..., Optimizer]
    schedule: Constant


def owners(players: Sequence[Player], name: str) -> list[Player]:
    """The players whose pattern fits a parameter or buffer of this full name, or else those without a pattern."""
    claiming = [player for player in players if player.parameters and re.match(player.parameters, name)]
    return claiming or [player for player in players if not player.parameters]


class Turn(NamedTuple):
    """A turn of every player: the sum of their losses, whose gradients do not mix, and all their terms by name."""

    loss: Tensor
    terms: dict[str, Tensor]


class Game:
    """The players of a model, who move at once: each sees the others as they were before the step.

    While a player computes its objective, the parameters of all others are constants: a gradient flows through them, to
    its own, and never into them. So one backward pass of the sum of all losses gives each the gradients of its own.
    Buffers of others stay as they are, too: running averages follow their owner's objective alone.

    Args:
        module: the model.
        players: in the order of their turns.

    Raises:
        ConfigError: a parameter that is trained is nobody's, or two players', or a player has none.
    """

    def __init__(self, module: nn.Module, players: Sequence[Player]) -> None:
        self.module, self.players = module, list(players)
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        for name in trained:
            names = [player.name for player in owners(players, name)]
            if len(names) != 1:
                raise ConfigError(f"{name} is trained by {' and '.join(names) or 'no player'}: one must")
        self.parameters = [
            {name: p for name, p in trained.items() if player in owners(players, name)} for player in players
        ]
        for player, own in zip(players, self.parameters, strict=True):
            if not own:
                raise ConfigError(f"player {player.name}: no parameter that is trained fits {player.parameters}")

    def play(self, batch: object) -> Turn:
        """The objectives of all players; those of the first have their plain names."""
        outputs: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        for number, player in enumerate(self.players):
            with self._alone(number):
                objective = player.objective(batch, outputs)
            outputs |= {name: output.detach() for name, output in objective.outputs.items()}
            losses.append(objective.loss)
            prefix = f"{player.name}_" if number else ""
            terms |= {f"{prefix}{name}": term for name, term in objective.terms.items()}
        return Turn(reduce(add, losses), terms)

    @contextmanager
    def _alone(self, number: int) -> Iterator[None]:
        """Parameters of other players take no gradient, and their buffers are copies that are thrown away."""
        others = [p for i, own in enumerate(self.parameters) if i != number for p in own.values()]
        buffers = self._buffers_of_others(self.players[number]) if others else []
        for parameter in others:
            parameter.requires_grad_(False)
        for part, name, buffer in buffers:
            setattr(part, name, buffer.clone())
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)
            for part, name, buffer in buffers:
                setattr(part, name, buffer)

    def _buffers_of_others(self, player: Player) -> list[tuple[nn.Module, str, Tensor]]:
        return [
            (part, name, buffer)
            for path, part in self.module.named_modules()
            for name, buffer in part.named_buffers(recurse=False)
            if player not in owners(self.players, f"{path}.{name}".lstrip("."))
        ]
