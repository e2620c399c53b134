"""The curves of a training, from the rows of its metrics.csv."""

from collections.abc import Mapping, Sequence

from vqgen.tasks.page.chart import Chart, Point, Series

SPLITS = {"train": 1, "val": 0}
"""Of which there are curves, and their colours."""

MOST_CURVES = 40
"""Of a run on a page."""

_ASIDE = ("grad_norm", "images_per_second")  # of the training itself; after the figures of the model
_STEP = "step"

Rows = Sequence[Mapping[str, float]]


def curves(rows: Rows, monitor: str = "") -> list[Chart]:
    """A chart for each figure, of training and validation together; that of the monitored one first."""
    names = dict.fromkeys(name for row in rows for name in row)
    figures = dict.fromkeys(name.partition("/")[2] for name in names if name.partition("/")[0] in SPLITS)
    first = monitor.partition("/")[2]
    ordered = sorted(figures, key=lambda name: (name != first, name in _ASIDE, "loss" not in name))
    charts = [_of_splits(rows, name) for name in ordered]
    charts += [Chart(name, [Series("", points_of(rows, name), colour=0)]) for name in names if name.startswith("lr-")]
    return [chart for chart in charts if any(len(one.points) > 1 for one in chart.series)][:MOST_CURVES]


def _of_splits(rows: Rows, name: str) -> Chart:
    """Training below validation, which has fewer points."""
    found = {split: points_of(rows, f"{split}/{name}") for split in SPLITS}
    return Chart(
        name, [Series(split, points, colour=SPLITS[split]) for split, points in found.items() if len(points) > 1]
    )


def points_of(rows: Rows, name: str) -> list[Point]:
    """A figure by the optimiser step."""
    return [(row[_STEP], row[name]) for row in rows if name in row and _STEP in row]


def seconds(rows: Rows, num_images: int) -> float | None:
    """How long the steps of the training took, by the images a second that were logged; None where none were.

    Args:
        rows: of metrics.csv.
        num_images: of the training split.
    """
    rates = [row["train/images_per_second"] for row in rows if row.get("train/images_per_second", 0) > 0]
    epochs = max((row["epoch"] + 1 for row in rows if "train/images_per_second" in row and "epoch" in row), default=0)
    return num_images * epochs * sum(1 / rate for rate in rates) / len(rates) if rates and num_images else None


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
