"""Private names of the libraries below: every one that vqgen uses, and nowhere else (tests/test_compat.py).

Each says what it stands for and why there is no public way. Tried with pytorch-lightning 2.6.6 and torch 2.13.0; the
upper bounds in pyproject.toml are there for this file. What has a public way takes it: `steps_now`, say.
"""

from typing import Any


def logged_step(trainer: Any) -> int:
    """The step that Lightning gives its loggers: how many training batches ended with a step of the optimiser.

    `fit_loop.epoch_loop._batches_that_stepped`. `trainer.global_step`, which is public, counts each of several
    optimisers, and on_train_batch_end sees it a step ahead: rows of a callback would not stand beside Lightning's own.
    """
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def steps_now(trainer: Any) -> bool:
    """Whether the optimiser steps after the training batch in hand, by public names alone.

    `fit_loop._should_accumulate()` less its case of a strategy that accumulates by itself (DeepSpeed).
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    ready = progress.current.ready
    is_last = progress.is_last_batch or ready == trainer.num_training_batches
    return is_last or ready % trainer.accumulate_grad_batches == 0


def average_model(callback: Any) -> Any:
    """The moving average that a WeightAveraging keeps, None outside of a training.

    `_average_model`. Its averaging functions get one tensor after another, and no hook gets the module.
    """
    return callback._average_model


def end_workers(loader: Any) -> None:
    """End the processes of a DataLoader at once.

    `_iterator._shutdown_workers()`. They end by themselves when the iterator is collected as garbage, but slowly while
    a traceback holds it.
    """
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()


class WithWorkers:
    """A loader whose workers Lightning ends when a trainer is done, as those of a DataLoader.

    Lightning looks for `_iterator` in a loader, shuts its workers down and sets it to None; it calls no public method
    of a loader that is given up.
    """

    @property
    def loader(self) -> Any:
        """The DataLoader with the workers; None where there is none."""
        raise NotImplementedError

    @property
    def _iterator(self) -> Any:
        return None if self.loader is None else self.loader._iterator

    @_iterator.setter
    def _iterator(self, iterator: None) -> None:
        if self.loader is not None:
            self.loader._iterator = iterator
