"""What a task is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor


def _no_other(path: str) -> Any:
    raise LookupError(f"no way to open '{path}' is given")


class Trained(NamedTuple):
    """A trained run, ready to use.

    `model` is the run's module; `priors` are those of each level, top first, and `tokenizer` is whose codes they
    learnt (none, for an autoencoder's run); `images` opens the data module that the run was trained on; `class_names`
    are the names of its labels; `step` is the optimiser step of the checkpoint; `open` opens another run by its path.
    """

    model: Any
    priors: list[Any]
    tokenizer: Any | None
    images: Callable[[], Any]
    folder: Path
    class_names: list[str]
    step: int
    open: Callable[[str], Any] = _no_other

    @property
    def kind(self) -> str:
        """What the model is, for messages."""
        return type(self.model).__name__


@dataclass(frozen=True)
class Outcome:
    """What a task made, by name; `text` sums it up for the terminal.

    `pictures` in [-1, 1] become PNG files pixel by pixel, `plots` (of matplotlib) PNG files for print, `arrays` one
    arrays.npz, and `records` (numbers and text, nested) JSON files. `metrics` are logged with the run's own loggers.
    """

    pictures: dict[str, Float[Tensor, "3 H W"]] = field(default_factory=dict)
    arrays: dict[str, ndarray] = field(default_factory=dict)
    text: str = ""
    plots: dict[str, Figure] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
