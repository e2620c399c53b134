"""The base of all tasks, and what they share."""

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

import vqgen.tasks
from vqgen.batch import to_bytes
from vqgen.errors import UserError, command
from vqgen.pictures import figures, plots
from vqgen.protocols import Autoencoder
from vqgen.runs.job import Sweep
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome


class Task(ABC):
    """Something to do with a run: a dataclass whose fields are its options, called with the run.

    A new task is a file with a class of its name, and a yaml in conf/task.
    """

    writes: ClassVar[bool] = True
    """Whether there is anything to write, for which a folder is made before the work begins."""

    @staticmethod
    @abstractmethod
    def lacks(trained: TrainedRun) -> str:
        """What the task needs and the run has not, such as "a model with codes"; empty where it fits."""

    @abstractmethod
    def make(self, trained: TrainedRun) -> Outcome:
        """The outcome, of a run that fits."""

    def of_sweep(self, sweep: Sweep, opened: Callable[[str], TrainedRun]) -> Outcome:
        """The outcome of a whole sweep, for the tasks that take one: most take one run, and tell which is the best.

        Args:
            sweep: its jobs.
            opened: opens the run in the folder of one.
        """
        name, best = type(self).__name__.lower(), sweep.best
        told = f"its best is {command('sample', f'task={name}', run=best.folder)}" if best else "none of them ended"
        raise UserError(
            f"run={sweep.folder}: a sweep of {len(sweep.jobs)} jobs, and task={name} takes one run, or the priors of "
            f"the levels of one tokenizer; {told} (task=report takes sweeps)"
        )

    def __call__(self, trained: TrainedRun) -> Outcome:
        """The outcome; UserError where the run does not fit (those tasks that do are named), or an option does not."""
        if lack := self.lacks(trained):
            name = type(self).__name__.lower()
            others = ", ".join(fitting(trained))
            raise UserError(
                f"task={name} needs {lack}; '{trained.folder}' is {trained.a_kind}, and "
                + (f"the tasks for it are {others}" if others else "no task is for it")
            )
        return self.make(trained)


def fitting(trained: TrainedRun) -> list[str]:
    """Names of the tasks that fit a run."""
    return [name for name, task in tasks().items() if not task.lacks(trained)]


def tasks() -> dict[str, type[Task]]:
    """Every task by its name: the classes of this package that are named as their file."""
    found = {}
    for module in pkgutil.iter_modules(vqgen.tasks.__path__):
        for name, member in vars(importlib.import_module(f"vqgen.tasks.{module.name}")).items():
            if name.lower() == module.name and inspect.isclass(member) and issubclass(member, Task):
                found[module.name] = member
    found.pop("task", None)  # this base
    return dict(sorted(found.items()))


def lacks_autoencoder(trained: TrainedRun) -> str:
    """What is missing to encode and decode images; empty where nothing is."""
    return "" if isinstance(trained.tokenizer or trained.model, Autoencoder) else "an autoencoder or a prior"


def lacks_latents(trained: TrainedRun) -> str:
    """What is missing for latent vectors; empty where nothing is."""
    return "" if trained.has_latents else "a model with latent vectors, an AE or a VAE"


def at_least(least: int, **options: int) -> None:
    """Raise UserError for an option below `least`."""
    for name, value in options.items():
        if value < least:
            raise UserError(f"{name}={value}: expected at least {least}")


def not_empty(**options: Collection[object] | None) -> None:
    """Raise UserError for a list with nothing in it; None is no list."""
    for name, value in options.items():
        if value is not None and len(value) == 0:
            raise UserError(f"{name}={list(value)}: nothing is asked for; give one value at least")


def sheet(
    name: str,
    rows: dict[str, Float[Tensor, "_ _ h w"]],
    title: str,
    columns: Sequence[str] | None = None,
    note: str = "",
) -> Outcome:
    """Rows of images as a picture pixel by pixel, as a figure with the names of rows and columns, and as arrays.

    `name` is the picture's (the figure is called NAME_labelled); each row has as many images, in [-1, 1]; `title` and,
    under it, `note` are of the figure.
    """
    figure = plots.labelled_rows(rows, title, columns, note)
    arrays = {f"{name}/{row}": to_bytes(images).cpu().numpy() for row, images in rows.items()}
    return Outcome({name: figures.rows(*rows.values())}, arrays, plots={f"{name}_labelled": figure})


def code_arrays(trained: TrainedRun, codes: Sequence[Int[Tensor, "b _ _"]]) -> dict[str, ndarray]:
    """Code maps of all levels as the arrays of an outcome."""
    return {f"codes/{name}": c.cpu().numpy() for name, c in zip(trained.levels, codes, strict=True)}
