"""What a page plots of codebooks and latents."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from vqgen.pictures import plots
from vqgen.tasks.page.chart import Chart, Series


def usage(level: str, counts: Int[ndarray, " k"]) -> Chart:
    """The share of each code, the most used first."""
    share = np.sort(counts / max(1, counts.sum()))[::-1]
    even = Series("all equally often", [(1.0, 1 / len(share)), (float(len(share)), 1 / len(share))], "step")
    points = [(float(i), float(value)) for i, value in enumerate(share, 1) if value > 0]
    return Chart(f"{level}: share of all codes", [even, Series("codes", points, "step", 0)], "code, by number of uses")


def scatter(points: Float[ndarray, "n 2"], label: Int[ndarray, " n"] | None, names: Sequence[str], axes: str) -> Chart:
    """A dot an image."""
    labels = np.full(len(points), -1) if label is None or len(set(label.tolist())) > plots.MAX_CLASSES else label
    series = [
        Series(_class_name(one, names), [(float(x), float(y)) for x, y in points[labels == one]], "dots", max(0, one))
        for one in sorted(set(labels.tolist()))
    ]
    return Chart("latents", series, axes, square=True)


def _class_name(number: int, names: Sequence[str]) -> str:
    if number < 0:
        return ""
    return names[number] if number < len(names) else f"class {number}"
