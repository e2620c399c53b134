"""Run the cells of docs/tour.ipynb in order, as a notebook does, and keep their figures in it: python -m tests.tour.

No notebook server is needed: a cell is plain Python, and what its last line gives is its output.
"""

import ast
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"


def cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The cells of code."""
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def results(notebook: dict[str, Any]) -> Iterator[object]:
    """What the last line of each cell of code gives, run one after another."""
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells(notebook), 1):
        *lines, last = ast.parse("".join(cell["source"])).body
        assert isinstance(last, ast.Expr), f"cell {number} shows nothing"
        exec(compile(ast.Module(lines, []), f"cell {number}", "exec"), names)
        yield eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)


def output(result: object, number: int) -> dict[str, Any]:
    """As a notebook keeps it: a figure as PNG, other things as text."""
    data: dict[str, Any] = {"text/plain": [repr(result)]}
    if isinstance(result, Figure):
        file = io.BytesIO()
        result.savefig(file, format="png", dpi=100, bbox_inches="tight")
        data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ["<Figure>"]}
    return {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}


def main() -> None:
    """Run it and write the outputs."""
    notebook = json.loads(TOUR.read_text())
    for number, (cell, result) in enumerate(zip(cells(notebook), results(notebook), strict=True), 1):
        cell["execution_count"], cell["outputs"] = number, [output(result, number)]
    TOUR.write_text(json.dumps(notebook, indent=1) + "\n")


if __name__ == "__main__":
    main()
