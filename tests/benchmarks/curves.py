"""The loss curves of docs/results.md, from the metrics.csv of the runs in a folder.

python -m tests.benchmarks.curves --runs runs
"""

import argparse
import csv
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.results import DOCS

AUTOENCODERS = {
    "AE": "fashion_ae",
    "VAE": "fashion_vae",
    "VAE + IAF": "fashion_vae_iaf",
    "VQ-VAE": "fashion_vqvae",
    "VQ-VAE-2": "fashion_vqvae2",
}
PRIORS = {"PixelCNN": "pixelcnn", "gated PixelCNN": "gated_pixelcnn", "PixelSNAIL": "pixelsnail"}
CODES = {
    "8x8 codes": "fashion_vqvae_{}",
    "top of two, 4x4": "fashion_vqvae2_{}_top",
    "bottom of two, 8x8": "fashion_vqvae2_{}_bottom",
}


def values(run: Path, key: str) -> tuple[list[int], list[float]]:
    """Steps, and the values of a metric there."""
    with (run / "metrics.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get(key)]
    return [int(row["step"]) + 1 for row in rows], [float(row[key]) for row in rows]


def _label(axes: Axes, title: str, unit: str, legend: str = "best") -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc=legend, ncols=3 if legend == "lower left" else 1)


def autoencoders(runs: Path) -> Figure:
    """Squared error in validation, and the bound of the VAEs."""
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (name, run) in enumerate(AUTOENCODERS.items()):
        left.plot(*values(runs / run, "val/mse"), label=name, marker=".", color=f"C{colour}")
        steps, elbo = values(runs / run, "val/elbo")
        if steps:
            right.plot(steps, elbo, label=name, marker=".", color=f"C{colour}")
    left.set_ylim(bottom=0)
    _label(left, "squared error, validation", "mean, of values in [-1, 1]", "lower left")
    _label(right, "evidence lower bound, validation", "nats an image")
    return figure


def priors(runs: Path) -> Figure:
    """Negative log-likelihood of the codes in training, thin, and in validation."""
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    for axes, (title, pattern) in zip(figure.subplots(1, len(CODES)), CODES.items(), strict=True):
        for colour, (name, kind) in enumerate(PRIORS.items()):
            run = runs / pattern.format(kind)
            axes.plot(*values(run, "train/loss"), linewidth=0.5, alpha=0.5, color=f"C{colour}")
            steps, losses = values(run, "val/nats_per_code")
            axes.plot(steps, losses, label=name, marker=".", color=f"C{colour}")
        axes.set_ylim(top=1.6 * min(losses) + 0.6)
        _label(axes, title, "nats a code")
    return figure


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs, named as in conf/experiment")
    options = parser.parse_args()
    for name, draw in (("autoencoders", autoencoders), ("priors", priors)):
        file = DOCS / "pictures" / f"curves_{name}.png"
        draw(options.runs).savefig(file, dpi=110)
        print(file)


if __name__ == "__main__":
    main()
