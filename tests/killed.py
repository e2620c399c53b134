"""Runs train.py and kills it (SIGKILL) when a training step begins: python -m tests.killed STEP WORDS."""

import os
import runpy
import signal
import sys

from tests.conftest import ROOT


def main() -> None:
    step = int(sys.argv[1])
    sys.argv = [str(ROOT / "train.py"), *sys.argv[2:]]
    from vqgen.models.base import Model

    training_step = Model.training_step

    def kill_at(self, batch, batch_idx):
        if self.trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return training_step(self, batch, batch_idx)

    Model.training_step = kill_at
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
