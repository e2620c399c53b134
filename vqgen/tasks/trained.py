"""What a task is given, and what it gives back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


class Trained(NamedTuple):
    """A trained run, ready to use.

    `model` is the run's module; `priors` are those of each level, top first, and `tokenizer` is whose codes they
    learnt (none, for an autoencoder's run); `images` opens the data module that the run was trained on; `class_names`
    are the names of its labels; `step` is the optimiser step of the checkpoint.
    """

    model: Any
    priors: list[Any]
    tokenizer: Any | None
    images: Callable[[], Any]
    folder: Path
    class_names: list[str]
    step: int

    @property
    def kind(self) -> str:
        """What the model is, for messages."""
        return type(self.model).__name__


class Outcome(NamedTuple):
    """Pictures in [-1, 1] and arrays by name; `text` sums them up for the terminal."""

    pictures: dict[str, Float[Tensor, "3 H W"]]
    arrays: dict[str, ndarray]
    text: str = ""
