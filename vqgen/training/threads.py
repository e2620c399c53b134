"""How many threads compute a training step on a CPU."""

import os
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch.utils.flop_counter import FlopCounterMode

from vqgen.environment.compat import is_compiled

SMALL = 5e8
"""FLOPs of a step below which several threads win little, and lose much on cores that have other work."""


class Threads(pl.Callback):
    """Small training steps are computed by one thread, and it says so; OMP_NUM_THREADS decides where it is set.

    The second batch tells (in the first one codebooks start), by the FLOPs of its products and convolutions, and not by
    its time: the same training has the same number of threads again, and so the same rounding. A checkpoint keeps
    whether it is one, for the run that goes on.
    """

    def __init__(self) -> None:
        self._by_one: bool | None = None  # as long as nothing is decided
        self._before = torch.get_num_threads()
        self._batches = 0
        self._counter: FlopCounterMode | None = None

    def state_dict(self) -> dict[str, Any]:
        """Whether one thread computes, where that is decided, and after how many batches."""
        return {"by_one": self._by_one, "batches": self._batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on so."""
        self._by_one, self._batches = state_dict["by_one"], state_dict["batches"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the threads of the run that goes on."""
        self._before = torch.get_num_threads()
        if self._by_one and _is_free(pl_module):
            self._take_one("as before")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Count the second batch."""
        self._batches += 1
        if self._by_one is None and self._batches == 2 and _is_free(pl_module):
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        """Choose by what was counted."""
        if (counter := self._counted()) is None:
            return
        flops = counter.get_total_flops()
        self._by_one = flops < SMALL
        if self._by_one:
            self._take_one(f"{flops / 1e9:.2f} GFLOP")

    def _take_one(self, why: str) -> None:
        rank_zero_info(
            f"A step is small ({why}): one thread computes it. OMP_NUM_THREADS={self._before} takes {self._before}"
        )
        torch.set_num_threads(1)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the process as it was: Lightning tears nothing down then."""
        self._counted()
        torch.set_num_threads(self._before)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the process as it was."""
        torch.set_num_threads(self._before)

    def _counted(self) -> FlopCounterMode | None:
        counter, self._counter = self._counter, None
        if counter is not None:
            counter.__exit__(None, None, None)
        return counter


def _is_free(model: pl.LightningModule) -> bool:
    """Whether the number of threads is ours to choose: on a CPU, where the user has not, and nothing is compiled."""
    said = os.environ.keys() & {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    compiled = any(map(is_compiled, model.modules()))
    return model.device.type == "cpu" and not said and not compiled and torch.get_num_threads() > 1
