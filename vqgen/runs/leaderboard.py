"""What came out of a sweep, best first: leaderboard.csv, a table on the terminal, and a plot for each swept option."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from vqgen.environment.launcher import started_by_sweep
from vqgen.errors import FolderError, command
from vqgen.plain import finite
from vqgen.runs.atomic import replacing
from vqgen.runs.claim import hold, in_use, let_go
from vqgen.runs.job import RUNNING, Job

JOB, TABLE = "job.json", "leaderboard.csv"
UNFINISHED = "it did not end by itself: its process was killed"  # noted when a job begins
PLUGINS = "hydra_plugins.vqgen"  # what Hydra knows our sweeper and launcher by; it takes no other names
SEARCH = f"{PLUGINS}.OptunaSweeper"
failed: list[str] = []  # folders of the jobs of this process's sweep that failed
_running: list[Path] = []  # the folder of the sweep, from its start to its end


class Leaderboard(Callback):
    """Hydra's callback around a multirun."""

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Take the folder, and note it; the program ends where it is in use, as Hydra passes over other errors.

        The processes of a search share its folder, and a job's process has that of its sweep.
        """
        if started_by_sweep():
            return
        folder = Path(config.hydra.sweep.dir)
        try:
            if not is_search(config):
                hold(folder)
        except (FolderError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        _running.append(folder)

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Write the leaderboard into the folder of the sweep, and show it."""
        finish()


class SweepEnd(NamedTuple):
    """Whether a sweep ran, with jobs to show for it, and whether all of them failed."""

    swept: bool
    all_failed: bool


def finish(show: bool = True) -> SweepEnd:
    """Write and show the leaderboard of the sweep that runs, once, and let its folder go."""
    if not _running:
        return SweepEnd(False, False)
    folder = _running.pop()
    jobs = _show(folder) if show else []
    let_go(folder)
    failed.extend(job.folder for job in jobs if job.error not in (None, RUNNING))
    return SweepEnd(bool(jobs), bool(jobs) and len(failed) == len(jobs))


def finish_resumed(folder: Path, objective: float | None) -> None:
    """Put what a job of a sweep that was gone on with by itself came to into the leaderboard, once there is one."""
    file = folder / JOB
    if objective is None or not file.is_file():
        return
    record = json.loads(file.read_text()) | {"objective": objective, "error": None, "pruned": None}
    with replacing(file) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")
    if (folder.parent / TABLE).is_file():
        _show(folder.parent)


def is_search(config: DictConfig) -> bool:
    """Whether a sweep is a search, in whose folder several processes may work."""
    return config.hydra.sweeper.get("_target_") == SEARCH


def _show(folder: Path) -> list[Job]:
    """Write and show the leaderboard of a sweep."""
    jobs = read_jobs(folder)
    if jobs:
        names = swept(jobs)
        write_table(jobs, names, folder / TABLE)
        print(f"\n{markdown(jobs, names)}\n\n{folder / TABLE}")
        for name in names:
            if path := plot(jobs, name, folder):
                print(path)
        if names == ["level"]:  # no one is better than another: they draw together
            print(f"Next: {command('sample', run=folder)}")
        else:
            print(*best(jobs[0], names), sep="\n", end="")
    return jobs


def best(job: Job, names: Sequence[str]) -> list[str]:
    """A line with the options and the objective of the best job, and how to use it; none where it did not end."""
    if job.objective is None or job.error:
        return []
    words = " ".join(f"{name}={job.overrides[name]}" for name in names if name in job.overrides)
    told = f"{words} ({job.told})" if words else job.told
    return [f"Best: {told}: {command('sample', run=job.folder)}", ""]


def write_job(
    folder: Path,
    overrides: Sequence[str],
    objective: float | None,
    error: str | None = None,
    pruned: str | None = None,
) -> None:
    """Note in a job's folder what came of it."""
    record = {"overrides": pairs(overrides), "objective": objective, "error": error, "pruned": pruned}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / JOB) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")


def pairs(overrides: Sequence[str]) -> dict[str, str]:
    """The values of overrides by their options."""
    return {key: value for key, _, value in (word.lstrip("+~").partition("=") for word in overrides)}


def job_before(folder: Path, overrides: Sequence[str]) -> Job | None:
    """What came of this job when its sweep ran before; None where it did not begin.

    Raises:
        FolderError: the folder holds another job.
    """
    job = job_at(folder)
    if job and (other := difference(job.overrides, pairs(overrides))):
        raise FolderError(
            f"'{folder}' holds a job of another sweep, {other}: a sweep goes on in its folder by the same words; take "
            "another hydra.sweep.dir"
        )
    return job


def difference(was: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """In what the words of a sweep differ from those of before; None where they are the same."""
    parts = (was.items() - wanted.items(), wanted.items() - was.items())
    told = [" ".join(f"{key}={value}" for key, value in sorted(part)) for part in parts]
    return f"with '{told[0]}' where this one has '{told[1]}'" if any(parts) else None


def job_at(folder: Path) -> Job | None:
    """The job whose run is in a folder; None where none began. One whose objective is not finite has failed."""
    if not (folder / JOB).is_file():
        return None
    record = json.loads((folder / JOB).read_text())
    overrides = {str(name): str(value) for name, value in record["overrides"].items()}
    objective, error = record["objective"], record["error"]
    if objective is not None and finite(objective) is None:
        objective, error = None, error or f"its objective is {str(objective)[:40]}, no finite number"
    pruned = record.get("pruned")
    return Job(
        str(folder),
        overrides,
        finite(objective),
        None if error is None else str(error),
        None if pruned is None else str(pruned),
    )


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of a sweep, best objective first, pruned ones after those that ended, failed ones last."""
    jobs = [job for file in sorted(folder.glob(f"*/{JOB}")) if (job := job_at(file.parent))]
    sign = -1 if any(_is_maximized(Path(job.folder)) for job in jobs[:1]) else 1
    jobs = [
        job._replace(error=RUNNING) if job.error == UNFINISHED and in_use(Path(job.folder)) else job for job in jobs
    ]
    return sorted(jobs, key=lambda job: (job.objective is None, job.pruned is not None, sign * (job.objective or 0.0)))


def _is_maximized(folder: Path) -> bool:
    """Whether more is better, by the checkpoint callback that chooses a run's best weights."""
    file = folder / "config.yaml"
    return file.is_file() and OmegaConf.select(OmegaConf.load(file), "callbacks.best.mode") == "max"


def swept(jobs: Sequence[Job]) -> list[str]:
    """The options in which the jobs differ."""
    names = dict.fromkeys(name for job in jobs for name in job.overrides)
    return [name for name in names if len({job.overrides.get(name) for job in jobs}) > 1]


def write_table(jobs: Sequence[Job], names: Sequence[str], path: Path) -> None:
    """One row a job: rank, objective, the swept options, folder and error."""
    with replacing(path) as part, part.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["rank", "objective", *names, "folder", "error", "pruned"])
        writer.writerows(_row(rank, job, names) for rank, job in enumerate(jobs, 1))


def markdown(jobs: Sequence[Job], names: Sequence[str]) -> str:
    """The same as a Markdown table."""
    rows = [["rank", "objective", *names, "run"], ["---"] * (3 + len(names))]
    for rank, job in enumerate(jobs, 1):
        rows.append([str(cell) for cell in _row(rank, job, names)[:-2]])
        rows[-1][1] = job.told
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _row(rank: int, job: Job, names: Sequence[str]) -> list[object]:
    values = [job.overrides.get(name, "") for name in names]
    return [
        rank,
        "" if job.objective is None else job.objective,
        *values,
        job.folder,
        job.error or "",
        job.pruned or "",
    ]


def plot(jobs: Sequence[Job], name: str, folder: Path) -> Path | None:
    """Objective against one swept option, a dot a job, the best one marked; None where no job has a figure."""
    from matplotlib.figure import Figure

    good = [job for job in jobs if job.objective is not None and name in job.overrides]
    if not good:
        return None
    objectives = [job.objective or 0.0 for job in good]
    numbers = _numbers([job.overrides[name] for job in good])
    labels = sorted({job.overrides[name] for job in good})
    places = numbers or [float(labels.index(job.overrides[name])) for job in good]
    axes = (figure := Figure(figsize=(5, 3.5), layout="constrained")).subplots()
    axes.plot(places, objectives, "o", color="tab:blue", alpha=0.8)
    axes.plot(places[:1], objectives[:1], "o", color="tab:orange", markersize=10, label=f"best: {good[0].folder}")
    if numbers is None:
        axes.set_xticks(range(len(labels)), labels)
    elif min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
        axes.set_xscale("log")
    axes.set(xlabel=name, ylabel="objective (less is better)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), frameon=False, fontsize=9)
    path = folder / f"objective_{name.replace('/', '.')}.png"
    figure.savefig(path, dpi=200)
    return path


def _numbers(values: Sequence[str]) -> list[float] | None:
    """The values as numbers; None where one is none."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return None
