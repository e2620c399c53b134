"""The task that serves the page."""

from dataclasses import dataclass

from vqgen.environment.extras import require_extra
from vqgen.errors import UserError
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, lacks_autoencoder
from vqgen.tasks.words import OpenedBy


@dataclass
class Explore(OpenedBy, Task):
    """A page in the browser that shows what the run can do, until Ctrl-C; nothing is written.

    It is served to this machine alone (127.0.0.1).

    Args:
        port: where the page is served; 0 takes a free one.
        browser: open the page in the browser.
    """

    port: int = 0
    browser: bool = True
    writes = False
    lacks = staticmethod(lacks_autoencoder)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"port={self.port}: expected a number from 1 to 65535, or 0 for a free one")

    def make(self, trained: TrainedRun) -> Outcome:
        """Nothing, after the page was left."""
        require_extra("explore", "task=explore", "nicegui")
        from vqgen.tasks.explore.page import Page  # NiceGUI, which not everyone has
        from vqgen.tasks.explore.server import serve

        words = self.opened(self.run or str(trained.folder))
        serve(Page(trained, words).build, words.name, self.port, self.browser)
        return Outcome()
