"""Learning rates of all parameter groups, step by step."""

from collections.abc import Callable, Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class Rates(LambdaLR):
    """The base rate of each group times a factor of its own, which depends on the step.

    From a checkpoint it takes the step alone: base rates are those of the config, which may change when a run goes on.

    Args:
        optimizer: its groups have their base rates.
        factors: of each group, a function of the step.
    """

    def __init__(self, optimizer: Optimizer, factors: Sequence[Callable[[int], float]]) -> None:
        super().__init__(optimizer, list(factors))

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Go on at the step of a checkpoint."""
        base_lrs = self.base_lrs
        super().load_state_dict(state_dict | {"lr_lambdas": []})
        self.base_lrs = base_lrs
        for group, lr, factor in zip(self.optimizer.param_groups, base_lrs, self.lr_lambdas, strict=True):
            group |= {"initial_lr": lr, "lr": lr * factor(self.last_epoch)}
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
