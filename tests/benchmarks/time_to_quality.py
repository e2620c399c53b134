"""Seconds of whole commands until a model is as good as that: start, training, validation and test together.

    python -m tests.benchmarks.time_to_quality [--only 0 1 2 3]

Each line is one command on Fashion-MNIST, its schedule as short as the goal allows; FID is measured after it, and the
time of that is not counted. The priors learn the codes of the released tokenizer, whose training is not counted either.
"""

import argparse
import subprocess
import sys
import time
from os import getloadavg
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.benchmarks.curves import values
from tests.benchmarks.records import table
from tests.conftest import ROOT

PRIOR = ["experiment=fashion_transformer", "tokenizer=fashion_vqvae"]


class Goal(NamedTuple):
    """What is to be reached, at most, and the words of train.py for it."""

    name: str
    metric: str
    at_most: float
    words: list[str]


GOALS = [
    Goal(
        "NMSE, 49,000 parameters",
        "test/recon_loss",
        0.0493,
        ["experiment=vqvae_small", "trainer.max_epochs=7"],
    ),
    Goal("nats/code", "test/nats_per_code", 1.66, [*PRIOR, "trainer.max_epochs=2"]),
    Goal("nats/code", "test/nats_per_code", 1.60, [*PRIOR, "trainer.max_epochs=4"]),
    Goal("FID(classifier)", "evaluate/test/fid(classifier)", 2.5, [*PRIOR, "trainer.max_epochs=2"]),
]


def program(name: str, *words: str) -> float:
    """Run one of the programs, and return its seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / name), *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def reached(goal: Goal, folder: Path) -> tuple[float, float]:
    """Seconds of the goal's command, and its figure."""
    seconds = program("train.py", *goal.words, "trainer.enable_progress_bar=false", "logger=csv", f"run_dir={folder}")
    if goal.metric.startswith("evaluate/"):
        program("sample.py", "task=evaluate", f"run={folder}", "classifier=fashion_classifier", "metrics=[fid]")
    return seconds, values(folder, goal.metric)[1][-1]


def main() -> None:
    """Train for each goal and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="*",
        type=int,
        choices=range(len(GOALS)),
        default=range(len(GOALS)),
        help="numbers of goals, from 0",
    )
    options = parser.parse_args()
    print(f"load {getloadavg()[0]:.1f} at the start", flush=True)
    lines = []
    for goal in (GOALS[number] for number in options.only):
        with TemporaryDirectory() as folder:
            seconds, figure = reached(goal, Path(folder) / "run")
        verdict = f"{figure:.4g}" if figure <= goal.at_most else f"{figure:.4g}, MISSED"
        command = f"`train.py {' '.join(goal.words)}`"
        lines.append([f"{goal.name}, {goal.at_most:g}", verdict, f"{seconds:.0f}", command])
        print(lines[-1], flush=True)
    print(table(["until", "reached", "seconds", "command"], lines))


if __name__ == "__main__":
    main()
