"""The base of loggers that send numbered rows to a tracker: W&B, MLflow, Trackio."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from vqgen.logging.journal import Journal
from vqgen.plain import PlainDict

_MOST_BINS = 512  # that W&B and Trackio show


class RowLogger(Logger):
    """Gives a tracker rows, which have numbers and are kept in the run folder as well.

    A resumed run sends the rows before its checkpoint again, as far as the tracker lacks them, and goes on counting.

    Args:
        folder: of the run.
        place: the folder in it that the rows are kept in.
        options: of the next class.
    """

    def __init__(self, folder: str, place: str, **options: Any) -> None:
        super().__init__(**options)
        self._folder, self.journal = folder, Journal(Path(folder), place)
        self.rows, self.step, self.rows_before_step = 0, -1, 0

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return self._folder

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one row of numbers at optimiser step `step` (None: the last one logged)."""
        values = {name: float(value) for name, value in metrics.items()}
        self.add({"step": self.step if step is None else step, "metrics": values})

    @rank_zero_only
    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Log pictures, given as files."""
        images = self.journal.noted(images)
        self.add({"step": self.step if step is None else step, "images": {key: images}})

    def rows_before(self, step: int) -> int:
        """Rows logged so far that belong to earlier optimiser steps than `step`."""
        return self.rows_before_step if self.step == step else self.rows

    @rank_zero_only
    def rewind(self, step: int, row: int) -> None:
        """Go on after the first `row` rows, and send these again: a killed process may not have sent them."""
        for entry in self.journal.keep(row):
            self.send(entry)

    @rank_zero_only
    def close(self) -> None:
        """End the run of the tracker; an exception on its way out marks it as failed."""

    @abstractmethod
    def give(self, entry: PlainDict, number: int) -> None:
        """Hand a row, and its number, to the tracker's client."""

    def add(self, entry: PlainDict) -> None:
        """Keep a row, and send it."""
        self.journal.add(entry)
        self.send(entry)

    def send(self, entry: PlainDict) -> None:
        """Hand over a row that is kept."""
        self.give(entry, self.rows)
        self.count(entry)

    def count(self, entry: PlainDict) -> None:
        """Note that a row is logged."""
        if entry["step"] != self.step:
            self.step, self.rows_before_step = entry["step"], self.rows
        self.rows += 1

    def pictures(self, entry: PlainDict) -> dict[str, list[str]]:
        """The files of a row's pictures, by key."""
        noted = entry.get("images", {})
        return {key: [str(self.journal.folder / file) for file in files] for key, files in noted.items()}


def pooled(counts: Sequence[int]) -> tuple[ndarray, ndarray]:
    """Bars and their edges of how often codes occur, in the order given; neighbours are pooled where they are many."""
    size = -(-len(counts) // _MOST_BINS)
    bars = [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
    return np.array(bars), np.linspace(0, len(counts), len(bars) + 1)
