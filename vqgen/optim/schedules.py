"""Learning-rate schedules: the factor on the base rate as a function of the step and of all steps planned."""

import math


class Constant:
    """The base rate from the end of a linear warm-up on.

    Args:
        warmup_steps: optimiser steps over which the rate rises from near 0 to the base rate.
    """

    def __init__(self, warmup_steps: int = 0) -> None:
        if warmup_steps < 0:
            raise ValueError(f"{warmup_steps=} must be 0 or more")
        self.warmup_steps = warmup_steps

    def __call__(self, step: int, total_steps: int | float) -> float:
        """Factor at optimiser step `step` (from 0) of `total_steps` (infinite where no end is planned)."""
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


class Cosine(Constant):
    """Linear warm-up, then half a cosine down to `final_factor` at the last planned step (arXiv 1608.03983, eq. 5).

    Args:
        warmup_steps: as in `Constant`.
        final_factor: part of the base rate that is left at the end.
    """

    def __init__(self, warmup_steps: int = 0, final_factor: float = 0.01) -> None:
        super().__init__(warmup_steps)
        if not 0 <= final_factor <= 1:
            raise ValueError(f"{final_factor=} must be from 0 to 1; 0.01 is usual")
        self.final_factor = final_factor

    def __call__(self, step: int, total_steps: int | float) -> float:
        """Factor at optimiser step `step` (from 0) of `total_steps`."""
        if math.isinf(total_steps):
            return super().__call__(step, total_steps)
        planned = max(1, total_steps - self.warmup_steps)
        progress = min(1.0, max(0, step - self.warmup_steps) / planned)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return super().__call__(step, total_steps) * (self.final_factor + (1 - self.final_factor) * cosine)
