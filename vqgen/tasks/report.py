"""A run, or a sweep, as one page of HTML."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from vqgen.drawing import NEUTRAL, Sampler, Sampling
from vqgen.errors import UserError
from vqgen.protocols import Autoencoder, Variational
from vqgen.runs.folders import run_name, shown_runs, without_home
from vqgen.runs.job import Sweep
from vqgen.runs.trained_run import TrainedRun
from vqgen.runs.version import code_version
from vqgen.tasks import facts
from vqgen.tasks.evaluate import Evaluate
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.page import of_run, of_sweep
from vqgen.tasks.page.page import Page, Section
from vqgen.tasks.page.shown import Wanted, shown
from vqgen.tasks.task import Task, at_least
from vqgen.tasks.words import Opened, OpenedBy

FILE = "report.html"


@dataclass
class Report(OpenedBy, Task):
    """`report.html`: what a run is, its pictures, figures with their commands, curves, lineage and config.

    The file is whole by itself, at most 5 MB, and runs and loads nothing. Of a sweep it has the leaderboard, the
    objective against what was varied, and the best run. What cannot be made here, as the images are elsewhere say, is
    left out, and the page says why.

    Args:
        num_images: images in a row.
        num_samples: samples drawn, where the run draws any.
        num_measured: test images behind codebooks, latents and the figures that are measured for the page.
        sampling: as for task=sample.
        sampler: how maps are drawn; None for the usual way of such a prior.
    """

    num_images: int = 8
    num_samples: int = 80
    num_measured: int = 500
    sampling: Sampling = NEUTRAL
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        at_least(2, num_images=self.num_images, num_measured=self.num_measured)
        at_least(1, num_samples=self.num_samples)

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """Every run fits."""
        return ""

    def make(self, trained: TrainedRun) -> Outcome:
        """The page of a run."""
        left_out: dict[str, str] = {}
        opened = self.opened(_at_home(self.run) or _named(trained))
        measured = list(self._measured(trained, opened, left_out))
        sections = list(self._sections(trained, opened, measured, left_out))
        tiles = list(of_run.tiles(trained, measured))
        return _written(
            Page(trained.name, "Run", of_run.said(trained), tiles, sections, _without_home(left_out), _made())
        )

    def of_sweep(self, sweep: Sweep, opened: Callable[[str], TrainedRun]) -> Outcome:
        """The page of a sweep, with the sections of its best run."""
        left_out: dict[str, str] = {}
        sections = list(of_sweep.sections(sweep))
        try:
            if sweep.best is None:
                raise UserError("no job of the sweep ended")
            sections += self._of_best(opened(sweep.best.folder), left_out)
        except (UserError, OSError) as error:
            left_out["The best run"] = str(error)
        tiles = list(of_sweep.tiles(sweep))
        name, said = run_name(sweep.folder.resolve()), of_sweep.said(sweep)
        return _written(Page(name, "Sweep", said, tiles, sections, _without_home(left_out), _made()))

    def _of_best(self, trained: TrainedRun, left_out: dict[str, str]) -> Iterator[Section]:
        """What the best run is, and its sections."""
        opened = self.opened(_named(trained))
        yield Section(f"The best run: {trained.name}", [], of_run.said(trained), opened.command("report"))
        yield from self._sections(trained, opened, list(self._measured(trained, opened, left_out)), left_out)

    def _sections(
        self, trained: TrainedRun, opened: Opened, measured: Sequence[facts.Measured], left_out: dict[str, str]
    ) -> Iterator[Section]:
        """Pictures, figures, curves, lineage and configs of a run."""
        wanted = Wanted(self.num_images, self.num_samples, self.num_measured, self.sampling, self.sampler)
        pictures = shown(trained, wanted, opened)
        left_out |= pictures.left_out
        yield from pictures.sections
        yield of_run.figures(trained, opened, measured)
        if not (curves := list(of_run.training(trained))):
            left_out["Curves"] = of_run.no_curves(trained)
        yield from curves
        yield from filter(None, (of_run.lineage(trained), of_run.again(trained)))

    def _measured(self, trained: TrainedRun, opened: Opened, left_out: dict[str, str]) -> Iterator[facts.Measured]:
        """Figures of some test images, measured now."""
        for metric in _metrics(trained):
            try:
                record = Evaluate([metric], self.num_measured)(trained).records["evaluation"]
            except (UserError, OSError) as error:
                left_out[f"Figures of {metric}"] = str(error)
                continue
            found = record["metrics"]
            assert isinstance(found, Mapping)
            said = f"Measured for this page, on {record['num_images']} test images"
            line = opened.command("evaluate", metrics=[metric], num_samples=self.num_measured)
            yield facts.Measured(said, line, found)


def _named(trained: TrainedRun) -> str | list[str]:
    """What a run is called in commands where the user has not named it."""
    own = [run.folder for run in trained.runs[bool(trained.priors) :]]
    return shown_runs(own or [trained.folder])


def _at_home(run: str | Sequence[str] | None) -> str | list[str] | None:
    """The run as the user names it, with ~ for one's home."""
    return without_home(run) if isinstance(run, str) else [without_home(one) for one in run or ()] or None


def _metrics(trained: TrainedRun) -> Iterator[str]:
    """What is measured without another network, in little time."""
    if not trained.priors and isinstance(trained.model, Autoencoder):
        yield "reconstruction"
    if trained.priors or isinstance(trained.model, Variational):
        yield "likelihood"


def _without_home(left_out: Mapping[str, str]) -> dict[str, str]:
    """What is left out, with ~ for one's home in the reasons."""
    return {name: without_home(why) for name, why in left_out.items()}


def _made() -> str:
    return f"Made on {date.today().isoformat()} by vqgen {code_version()}: python sample.py task=report run=RUN"


def _written(page: Page) -> Outcome:
    """The file, and what it lacks."""
    html = page.html()
    lines = [f"{', '.join(names)}: left out: {why}" for why, names in page.reasons.items()]
    return Outcome(files={FILE: html}, text="\n".join([f"{FILE}: {len(html):,} bytes", *lines]))
