"""The base of all panels."""

from abc import ABC, abstractmethod
from typing import ClassVar

from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.words import Opened


class Panel(ABC):
    """A part of the page under a title of its own, for one visitor.

    A new panel is a file, and its class stands in `vqgen.tasks.explore.page.PANELS`.

    Args:
        trained: the run.
        opened: how it was opened, for command lines.
        guides: whether its priors can be guided.
    """

    title: ClassVar[str]
    icon: ClassVar[str]
    needs_images: ClassVar[bool] = True
    """Whether it shows images of the run's data."""

    def __init__(self, trained: TrainedRun, opened: Opened, guides: bool = False) -> None:
        self.trained, self.opened, self.guides = trained, opened, guides

    @staticmethod
    @abstractmethod
    def fits(trained: TrainedRun) -> bool:
        """Whether the run can do it."""

    @abstractmethod
    async def build(self) -> None:
        """Make the controls and the first picture, in the place that NiceGUI is at."""
