"""Several optimisers that step as one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict


class Composite(Optimizer):
    """Steps optimisers of different parameters together: one step, one schedule, one state.

    Its groups are theirs, one after the other, and so is its state: what changes a rate here changes it there. In a
    checkpoint it is like any one optimiser with as many groups.

    Args:
        optimizers: of disjoint parameters, without a state yet.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = list(optimizers)
        super().__init__([group for one in optimizers for group in one.param_groups], defaults={})
        self._share()

    def step(self, closure: Callable[[], Tensor | None] | None = None) -> Tensor | None:
        """One step of each, after the closure has made the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for one in self.optimizers:
            one.step()
        return loss

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take groups and state of a checkpoint."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Give each optimiser its groups, and the state of all: it looks up that of its own parameters."""
        groups = iter(self.param_groups)
        for one in self.optimizers:
            one.__setstate__({"state": self.state, "param_groups": [next(groups) for _ in one.param_groups]})
