"""What the benchmarks that train share: figures that are kept beside the runs, and Markdown tables of them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Figures = Mapping[str, float]
Columns = Mapping[str, tuple[str, str]]
"""The key and the format of a figure, by the heading of its column."""


def kept(file: Path, make: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The figures in a file, made and written now where there is none."""
    if not file.exists():
        file.write_text(json.dumps(make(), indent=1))
    figures: dict[str, float] = json.loads(file.read_text())
    return figures


def cells(figures: Figures, columns: Columns) -> list[str]:
    """The figures of a line, formatted."""
    return [f"{figures[key]:{form}}" for key, form in columns.values()]


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
