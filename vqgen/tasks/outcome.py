"""The results of a task."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from vqgen.pictures import figures


@dataclass(frozen=True)
class Outcome:
    """The results of a task by name; `text` sums them up for the terminal. `a | b` has the results of both.

    `pictures` in [-1, 1] become PNG files pixel by pixel, `plots` (of matplotlib) PNG files for print, `records`
    (numbers and text, nested) JSON files, and `files` are written as they are. `arrays` are written on request: that
    of the name "codes/top" as `top` in codes.npz, that of a name without a stroke into a file of its own.
    `metrics` are logged with the run's own loggers.
    """

    pictures: dict[str, Float[Tensor, "3 H W"]] = field(default_factory=dict)
    arrays: dict[str, ndarray] = field(default_factory=dict)
    text: str = ""
    plots: dict[str, Figure] = field(default_factory=dict)
    records: dict[str, Mapping[str, object]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def __or__(self, other: "Outcome") -> "Outcome":
        merged = {f.name: getattr(self, f.name) | getattr(other, f.name) for f in fields(self) if f.name != "text"}
        return Outcome(**merged, text=self.text or other.text)

    def write(self, folder: str | Path, arrays: bool = False) -> list[Path]:
        """Write everything into a folder, which is made; `arrays` on request. Returns the files."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = [figures.save_png(picture, folder / f"{name}.png") for name, picture in self.pictures.items()]
        written += [figures.save_plot(plot, folder / f"{name}.png") for name, plot in self.plots.items()]
        texts = {f"{name}.json": json.dumps(record, indent=1) + "\n" for name, record in self.records.items()}
        for name, contents in ({name: text.encode() for name, text in texts.items()} | self.files).items():
            written.append(folder / name)
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            written[-1].write_bytes(contents)
        return written + (self._write_arrays(folder) if arrays else [])

    def _write_arrays(self, folder: Path) -> list[Path]:
        """One npz for each FILE of the names FILE/NAME."""
        files: dict[Path, dict[str, Any]] = {}  # numpy's keywords
        for key, array in self.arrays.items():
            file, _, name = key.partition("/")
            files.setdefault(folder / f"{file}.npz", {})[name or file] = array
        for path, contents in files.items():
            np.savez_compressed(path, **contents)
        return list(files)
