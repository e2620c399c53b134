"""The task that serves the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from vqgen.environment.extras import require_extra
from vqgen.errors import UserError
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.explore.words import Opened
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, lacks_autoencoder


@dataclass
class Explore(Task):
    """A page in the browser that shows what the run can do, until Ctrl-C; nothing is written.

    It is served to this machine alone (127.0.0.1). All but `port` and `browser` say how the run was opened, for the
    command lines that the page shows.

    Args:
        port: where the page is served; 0 takes a free one.
        browser: open the page in the browser.
        run: the run as the user names it.
        checkpoint: as for `sample.py`.
        tokenizer: as for `sample.py`.
        data_root: as for `sample.py`.
        data_changed: as for `sample.py`.
    """

    port: int = 0
    browser: bool = True
    run: str | Sequence[str] | None = None
    checkpoint: str = "best"
    tokenizer: str | None = None
    data_root: str | None = None
    data_changed: bool = False
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

        opened = {
            "checkpoint": "" if self.checkpoint == "best" else self.checkpoint,
            "tokenizer": self.tokenizer,
            "data_root": self.data_root,
            "data_changed": "true" if self.data_changed else "",
        }
        words = Opened(self.run or str(trained.folder), {key: value for key, value in opened.items() if value})
        serve(Page(trained, words).build, words.name, self.port, self.browser)
        return Outcome()
