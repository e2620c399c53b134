"""What came of a job of a sweep, and of all of them."""

from pathlib import Path
from typing import NamedTuple

RUNNING = "it still runs, in another process"


class Job(NamedTuple):
    """A job of a sweep: its folder, its overrides, and its objective or what went wrong.

    `pruned` says when a search ended it; its objective is then the best value until then.
    """

    folder: str
    overrides: dict[str, str]
    objective: float | None
    error: str | None
    pruned: str | None = None

    @property
    def told(self) -> str:
        """The objective, or what became of the job."""
        if self.objective is None or self.error:
            return f"failed: {self.error}" if self.error != RUNNING else "running"
        return f"{self.objective:.5g}" + (f", pruned {self.pruned}" if self.pruned else "")


class Sweep(NamedTuple):
    """Jobs, the best first; `names` are the options in which they differ.

    `monitor` is the metric whose best value is a job's objective, `mode` (min or max) which one is the best.
    """

    folder: Path
    jobs: list[Job]
    names: list[str]
    monitor: str
    mode: str

    @property
    def best(self) -> Job | None:
        """The best job that ended by itself; None where none did."""
        ended = (job for job in self.jobs if job.objective is not None and not job.error and not job.pruned)
        return next(ended, None)
