"""What a page shows of a sweep: its leaderboard, and the objective against what was varied."""

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from vqgen.errors import format_number
from vqgen.plain import finite
from vqgen.runs.job import Job, Sweep
from vqgen.tasks import facts
from vqgen.tasks.page.chart import Chart, Series
from vqgen.tasks.page.curves import points_of
from vqgen.tasks.page.page import Charts, Section, Table

MOST_JOBS = 200
"""In a leaderboard on a page."""

_MOST_CURVES = 12
_HISTORY = 8  # jobs from which on their order tells of a search


def sections(sweep: Sweep) -> Iterator[Section]:
    """The leaderboard and the charts."""
    yield _leaderboard(sweep)
    charts = [*_by_option(sweep), *_history(sweep)]
    if charts:
        note = f"{sweep.monitor} of each job, {_better(sweep)}; the ringed one is the best."
        yield Section("What the options do", [Charts(charts)], note)
    if chart := _curves(sweep):
        yield Section("Curves of the jobs", [Charts([chart])], f"The best in colour, of {len(sweep.jobs)} jobs.")


def tiles(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """The first things to know."""
    ended = [job for job in sweep.jobs if not job.error and not job.pruned and job.objective is not None]
    failed, pruned = (
        sum(bool(found) for found in of) for of in zip(*((j.error, j.pruned) for j in sweep.jobs), strict=True)
    )
    yield "jobs", f"{len(sweep.jobs)}"
    yield "ended", f"{len(ended)}" + (f", {failed} failed" if failed else "") + (f", {pruned} pruned" if pruned else "")
    yield "options varied", f"{len(sweep.names)}"
    if best := sweep.best:
        yield f"best {sweep.monitor}", format_number(best.objective or 0.0)


def said(sweep: Sweep) -> str:
    """What was varied, and what was best."""
    over = ", ".join(sweep.names) or "nothing"
    text = f"{len(sweep.jobs)} jobs over {over}, judged by {sweep.monitor}, {_better(sweep)}."
    if best := sweep.best:
        words = ", ".join(f"{name}={best.overrides[name]}" for name in sweep.names if name in best.overrides)
        text += f" Best: {words or Path(best.folder).name}."
    return text


def _better(sweep: Sweep) -> str:
    return "more is better" if sweep.mode == "max" else "less is better"


def _leaderboard(sweep: Sweep) -> Section:
    rows = []
    for rank, job in enumerate(sweep.jobs[:MOST_JOBS], 1):
        rows.append(
            [str(rank), Path(job.folder).name, *(job.overrides.get(name, "") for name in sweep.names), job.told]
        )
    head = ["rank", "job", *sweep.names, sweep.monitor]
    more = len(sweep.jobs) - MOST_JOBS
    note = f"The best {MOST_JOBS}; {more} more are in leaderboard.csv." if more > 0 else ""
    return Section("Leaderboard", [Table(head, rows, num_words=len(head) - 1)], note)


def _by_option(sweep: Sweep) -> Iterator[Chart]:
    """The objective against each option, a dot a job."""
    for name in sweep.names:
        jobs = [job for job in sweep.jobs if job.objective is not None and name in job.overrides]
        if not jobs:
            continue
        labels = sorted({job.overrides[name] for job in jobs})
        numbers = {label: _finite(label) for label in labels}
        places = {label: number for label, number in numbers.items() if number is not None}
        categories = [] if len(places) == len(labels) else labels
        if categories:
            places = {label: float(i) for i, label in enumerate(labels)}
        points = {job.folder: (places[job.overrides[name]], job.objective or 0.0) for job in jobs}
        yield Chart(f"{sweep.monitor} by {name}", _dots(sweep, points), name, categories)


def _finite(label: str) -> float | None:
    """The value of an option as a number; None where it is none."""
    try:
        return finite(float(label))
    except ValueError:
        return None


def _history(sweep: Sweep) -> Iterator[Chart]:
    """The objective by the number of the job, and the best so far, of a search."""
    numbered = [
        (int(n), job) for job in sweep.jobs if (n := Path(job.folder).name).isdecimal() and job.objective is not None
    ]
    if len(numbered) < _HISTORY:
        return
    points = {
        job.folder: (float(number), job.objective or 0.0) for number, job in sorted(numbered, key=lambda one: one[0])
    }
    numbers, values = zip(*points.values(), strict=True)
    best = accumulate(values, max if sweep.mode == "max" else min)
    yield Chart(
        sweep.monitor,
        [Series("best so far", list(zip(numbers, best, strict=True)), "step", 1), *_dots(sweep, points)],
        "job",
    )


def _dots(sweep: Sweep, points: dict[str, tuple[float, float]]) -> list[Series]:
    """A dot a job, grey where it did not end by itself, and under that of the best one a ring."""
    best = [points[sweep.best.folder]] if sweep.best and sweep.best.folder in points else []
    ring = [Series("", best, "ring", 1)] if best else []
    cut = {job.folder for job in sweep.jobs if job.error or job.pruned}
    others = [place for folder, place in points.items() if folder in cut]
    ended = [place for folder, place in points.items() if folder not in cut]
    dots = [Series("pruned or failed", others, "dots"), Series("ended", ended, "dots", 0)]
    return [*ring, *(one for one in dots if one.points)]


def _curves(sweep: Sweep) -> Chart | None:
    """The monitored metric of the first jobs, by step."""
    found: dict[str, Job] = {job.folder: job for job in sweep.jobs[:_MOST_CURVES]}
    points = {folder: points_of(facts.logged(Path(folder)), sweep.monitor) for folder in found}
    drawn = {folder: line for folder, line in points.items() if len(line) > 1}
    best = sweep.best.folder if sweep.best else ""
    lines = [Series("others", line) for folder, line in drawn.items() if folder != best]
    lines += [Series(f"job {Path(best).name}, the best", drawn[best], colour=0)] if best in drawn else []
    return Chart(sweep.monitor, lines) if lines else None
