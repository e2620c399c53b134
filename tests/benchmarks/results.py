"""The table of docs/results.md: measured from runs, and measured again from the released ones.

python -m tests.benchmarks.results --runs runs          measure every row, and write the table
python -m tests.benchmarks.results --runs runs --row "VQ-VAE" --parts drawing     of rows whose name begins so
python -m tests.benchmarks.results --check              measure the released runs and compare (make results-check)
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vqgen.batch import CodeBatch, Condition
from vqgen.nn.sizes import num_parameters
from vqgen.runs.checkpoint import module_of, open_run
from vqgen.runs.opening import open_trained
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.evaluate import Evaluate

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECORD, PAGE = DOCS / "results.json", DOCS / "results.md"
PARTS = ("images", "samples", "cas", "drawing", "training")
BEGIN, END = "<!-- table: python -m tests.benchmarks.results -->\n", "<!-- end of table -->"
TOLERANCE = 0.02  # relative; other machines round otherwise, and a code or two of a sample differs


class Row(NamedTuple):
    """A row: the runs by the names of their folders (the autoencoder's, then its priors'), and the released ones."""

    autoencoder: str
    priors: tuple[str, ...] = ()
    released: str | None = None


def _with_priors(name: str, tokenizer: str, levels: tuple[str, ...]) -> dict[str, Row]:
    kinds = {
        "pixelcnn": "PixelCNN",
        "gated_pixelcnn": "gated PixelCNN",
        "pixelsnail": "PixelSNAIL",
        "transformer": "transformer",
    }
    return {
        f"{name} + {title}": Row(
            tokenizer,
            tuple(f"{tokenizer}_{kind}{level}" for level in levels),
            f"{tokenizer}_{kind}" if kind == "transformer" else None,
        )
        for kind, title in kinds.items()
    }


ROWS = {
    "AE": Row("fashion_ae"),
    "VAE": Row("fashion_vae"),
    "VAE + IAF": Row("fashion_vae_iaf"),
    **_with_priors("VQ-VAE", "fashion_vqvae", ("",)),
    **_with_priors("VQ-VAE-2", "fashion_vqvae2", ("_top", "_bottom")),
}
COLUMNS = {
    "parameters": "parameters",
    "training, min": "training_minutes",
    "NMSE": "nmse",
    "PSNR": "psnr",
    "SSIM": "ssim",
    "ELBO": "elbo",
    "bits/dim (Bernoulli)": "bernoulli_bits_per_dim",
    "NLL, nats/code": "nats_per_code",
    "code bits given the label": "code_bits_given_label",
    "FID(classifier)": "fid(classifier)",
    "precision": "precision(classifier)",
    "recall": "recall(classifier)",
    "density": "density(classifier)",
    "coverage": "coverage(classifier)",
    "CAS top-1": "cas_top1(samples)",
    "draw 64, s": "seconds_64",
    "by the plain loop, s": "seconds_64_loop",
}


def measure(row: Row, folder: Path | None, classifier: str, num_images: int, parts: Sequence[str]) -> dict[str, float]:
    """The figures of some parts of a row, from runs in a folder, or from the released ones where there is none."""
    options: Any = {"classifier": classifier, "num_samples": num_images}
    of_images = open_trained(str(folder / row.autoencoder) if folder else row.autoencoder)
    priors = [str(folder / name) for name in row.priors] if folder else row.released
    of_codes = open_trained(priors) if priors else None
    source = of_codes or of_images
    figures: dict[str, float] = {}
    if "images" in parts:
        models = [of_images.model, *(of_codes.priors if of_codes else [])]
        figures["parameters"] = sum(num_parameters(model) for model in models)
        figures |= _figures(Evaluate(**options, metrics=["reconstruction"]), of_images)
    if "samples" in parts and (of_codes or hasattr(of_images.model, "generate")):
        metrics = ["likelihood", "fid", "precision_recall", "density_coverage"]
        figures |= _figures(Evaluate(**options, metrics=metrics), source)
    if "cas" in parts and of_codes:
        figures |= _figures(Evaluate(**options, metrics=["cas"], cas_epochs=4), of_codes)
    if "drawing" in parts and of_codes:
        figures |= {"seconds_64": _seconds(of_codes, _draw), "seconds_64_loop": _seconds(of_codes, _draw_by_loop)}
    if "training" in parts and folder:
        seconds = [_training_seconds(folder / name, of_images) for name in (row.autoencoder, *row.priors)]
        figures["training_minutes"] = sum(seconds) / 60
    return figures


def _training_seconds(run: Path, of_images: TrainedRun, num_steps: int = 30, skip: int = 5) -> float:
    """Steps of a run's training times the median seconds of one: forward, backward and optimiser on a batch."""
    last = open_run(run, "last")
    model: Any = module_of(last).requires_grad_(True).train()
    batch = of_images.batch(range(last.config["data"]["batch_size"]), "train")
    if hasattr(model, "grid"):  # a prior
        codes = of_images.model.encode(batch.x)[: model.level + 1]
        batch = CodeBatch(codes, batch.given, batch.index)
    optimizer, seconds = model.optimizer(model.parameters()), []
    for _ in range(num_steps + skip):
        start = time.perf_counter()
        optimizer.zero_grad()
        model.objective(batch).loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return last.contents["global_step"] * statistics.median(seconds[skip:])


def _figures(task: Evaluate, trained: TrainedRun) -> dict[str, float]:
    return task(trained).records["evaluation"]["metrics"]


def _seconds(trained: TrainedRun, draw: Callable[..., Tensor], number: int = 64) -> float:
    """Wall time of drawing images through all levels; the second drawing counts."""
    given = {"label": torch.arange(number) % trained.model.num_classes} if trained.model.num_classes else {}
    for _ in range(2):
        start, codes = time.perf_counter(), []
        for prior in trained.priors:
            codes = [*codes, draw(prior, number, Condition(codes, given))]
        trained.autoencoder.decode(codes)
    return time.perf_counter() - start


def _draw(prior: Any, number: int, condition: Condition) -> Tensor:
    return prior.sample(number, condition)


@torch.no_grad()
def _draw_by_loop(prior: Any, number: int, given: Condition) -> Tensor:
    """The plain loop of public code: for each position a forward pass over the rows seen so far."""
    height, width = prior.grid
    condition = prior.conditioner(given, number)
    codes = torch.zeros(number, height, width, dtype=torch.int64)
    for row in range(height):
        seen = condition if condition is None or condition.shape[2] == 1 else condition[:, :, : row + 1]
        for column in range(width):
            logits = prior.network(codes[:, : row + 1], seen)[:, :, row, column]
            codes[:, row, column] = logits.softmax(1).multinomial(1)[:, 0]
    return codes


def table(record: dict[str, dict[str, float]]) -> str:
    """The Markdown table of all rows that are recorded."""
    lines = ["| model | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in ROWS:
        if name in record:
            cells = [_cell(record[name], key) for key in COLUMNS.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figures: dict[str, float], key: str) -> str:
    levels = [figures[name] for name in (key, f"{key}_top", f"{key}_bottom") if name in figures]
    return " / ".join(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" for value in levels)


def write(record: dict[str, dict[str, float]]) -> None:
    """Keep the figures, and put the table into the page."""
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    if PAGE.exists():
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(record) + END + rest.partition(END)[2])


def differences(found: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Figures that are not those of the record, in words."""
    found = {key: value for key, value in found.items() if key in recorded}  # the page may be older than a measure
    same = [math.isclose(found[key], recorded[key], rel_tol=TOLERANCE, abs_tol=1e-3) for key in found]
    return [
        f"{key}: {found[key]:.6g}, and the page says {recorded[key]:.6g}"
        for key, agrees in zip(found, same, strict=True)
        if not agrees and not key.startswith(("seconds", "cas", "training"))
    ]


def check(record: dict[str, dict[str, float]], num_images: int) -> int:
    """Measure the released runs again; the number of figures that differ from the page."""
    wrong = 0
    for name, row in ROWS.items():
        if row.released and name in record:
            measured = measure(row, None, "fashion_classifier", num_images, ("images", "samples"))
            found = differences(measured, record[name])
            wrong += len(found)
            print(f"{name}: " + ("as on the page" if not found else "; ".join(found)), flush=True)
    return wrong


def main() -> None:
    """Measure and write, or measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="folder of the runs, named as in conf/experiment")
    parser.add_argument("--row", default="", help="only rows whose name begins so")
    parser.add_argument("--num-images", type=int, default=10000)
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, help="cas takes minutes a row")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record: dict[str, dict[str, float]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if options.check:
        sys.exit(1 if check(record, options.num_images) else 0)
    if options.runs is None:
        parser.error("--runs FOLDER or --check is needed")
    for name, row in ROWS.items():
        if name.startswith(options.row):
            classifier = str(options.runs / "fashion_classifier")
            found = measure(row, options.runs, classifier, options.num_images, options.parts)
            record[name] = record.get(name, {}) | found
            write(record)
            print(table({name: record[name]}), flush=True)


if __name__ == "__main__":
    main()
