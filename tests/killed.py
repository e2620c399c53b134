"""Runs train.py and sends it a signal at a place of its training: python -m tests.killed PLACE WORDS.

PLACE is the number of a training step, at whose beginning it is killed (SIGKILL, or another signal: `5:SIGUSR1`), or
`start` (before the first step), `end` (after the last) or `test` (in the test), where it is asked to stop (SIGTERM).
"""

import os
import runpy
import signal
import sys
from typing import Any

from tests.conftest import ROOT


def main() -> None:
    place = sys.argv[1]
    sys.argv = [str(ROOT / "train.py"), *sys.argv[2:]]
    import pytorch_lightning as pl

    from vqgen.models.base import Model

    if place[0].isdigit():
        step, _, name = place.partition(":")
        number = signal.Signals[name] if name else signal.SIGKILL
        before(Model, "training_step", number, lambda model: model.trainer.global_step == int(step))
    else:
        owner, name = {"start": (pl.Trainer, "fit"), "end": (pl.Trainer, "test"), "test": (Model, "test_step")}[place]
        before(owner, name, signal.SIGTERM, lambda _: True)
    runpy.run_path(sys.argv[0], run_name="__main__")


def before(owner: Any, name: str, number: signal.Signals, here: Any) -> None:
    """Send this process a signal before a method is called, the first time where `here` holds."""
    method, sent = getattr(owner, name), []

    def with_signal(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not sent and here(self):
            sent.append(number)
            os.kill(os.getpid(), number)
        return method(self, *args, **kwargs)

    setattr(owner, name, with_signal)


if __name__ == "__main__":
    main()
