"""What is known of a run, for its model card and its report: what it is, how it learned, what was measured of it."""

import csv
import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from vqgen.errors import command, option
from vqgen.nn.sizes import num_parameters
from vqgen.plain import Plain, PlainDict
from vqgen.runs.folders import output_base
from vqgen.runs.published import public
from vqgen.runs.run import Run
from vqgen.runs.trained_run import TrainedRun

METRICS = "metrics.csv"  # in a run folder
_SETTINGS = ("seed", "temperature", "top_k", "top_p", "min_p", "guidance", "precision")  # of samples that were measured
_NEUTRAL = {"seed": 0, "temperature": 1.0, "guidance": 1.0, "precision": "float32"}


class Measured(NamedTuple):
    """Figures by name: `said` is where they are from, `command` what measures them again (empty for a training)."""

    said: str
    command: str
    figures: Mapping[str, float]


def models(trained: TrainedRun) -> Iterator[str]:
    """A line for each model, for what an image is to it, and for the classes."""
    for module in trained.modules:
        yield f"`{network(module)}`: {num_parameters(module):,} parameters"
    if trained.levels:
        maps = zip(trained.levels, trained.coder.grids, trained.coder.num_embeddings, strict=True)
        sizes = [(name, "x".join(map(str, grid)), k) for name, grid, k in maps]
        levels = ", ".join(f"{name if name.startswith(size) else f'{name} {size}'} of {k}" for name, size, k in sizes)
        yield f"an image of {shape(trained)} is maps of codes: {levels}"
    elif trained.has_latents:
        yield f"an image of {shape(trained)} is a vector of {trained.latent.latent_dim} numbers"
    if trained.class_names:
        yield f"classes: {', '.join(trained.class_names)}"


def models_of(trained: TrainedRun) -> list[tuple[Run, nn.Module]]:
    """The runs as they are on disk, each with its model; none while they are trained."""
    return list(zip(trained.runs, trained.modules, strict=True)) if trained.runs else []


def network(module: nn.Module) -> str:
    """`RasterPrior (PixelSNAIL)`: the class, and that of its network where it has one."""
    network = getattr(module, "network", None)
    return type(module).__name__ + (f" ({type(network).__name__})" if isinstance(network, nn.Module) else "")


def shape(trained: TrainedRun) -> str:
    """Channels, height and width of the images."""
    return "x".join(map(str, trained.autoencoder.shape))


def training(trained: TrainedRun) -> Iterator[str]:
    """A line for what it learned from, and one for how each model did."""
    counts = ", ".join(f"{number:,} {name}" for name, number in num_images(trained.data).items())
    yield f"data: `{source(trained.runs[0])}`" + (f", images: {counts}" if counts else "")
    for run, module in models_of(trained):
        yield f"`{network(module)}`: {', '.join(of_training(run))}"
    if trained.priors and (mark := trained.runs[-1].tokenizer):
        yield f"the priors learned the codes of the tokenizer with fingerprint `{mark['fingerprint']}`; it is included"


def source(run: Run) -> str:
    """The class of the data of an image model's run."""
    return str(public(run.config)["data"]["_target_"])


def num_images(data: Mapping[str, object]) -> dict[str, int]:
    """Images of each split that a run has read, as far as it has kept that."""
    splits: Any = data.get("splits") or {}
    return {name: split["images"] for name, split in splits.items() if isinstance(split.get("images"), int)}


def of_training(run: Run) -> Iterator[str]:
    """How long, by what, and with which code a run learned."""
    yield f"{run.contents['global_step']:,} steps"
    optimizer: PlainDict = run.config.get("optim") or {}
    if "_target_" in optimizer:
        rate = f" at a rate of {optimizer['lr']:g}" if isinstance(optimizer.get("lr"), int | float) else ""
        yield optimizer["_target_"].rpartition(".")[2] + rate
    if size := run.config["data"].get("batch_size"):
        yield f"batches of {size}"
    averaged: PlainDict = (run.config.get("callbacks") or {}).get("averaged_weights") or {}
    if "decay" in averaged:
        yield f"moving averages of the weights ({averaged['decay']:g})"
    yield f"seed {run.config['seed']}"
    if version := run.contents["vqgen"].get("code_version"):
        yield f"by vqgen {version}"


def measured(trained: TrainedRun, named: str) -> Iterator[Measured]:
    """What was measured of these very weights; `named` is the word `run=RUN` of the commands."""
    for one, module in models_of(trained):
        if figures := tested(one):
            yield Measured(f"At the end of the training of `{network(module)}`, on the test split", "", figures)
    if record := evaluated(trained):
        yield Measured(f"On {record['num_images']:,} images", _evaluation(record, named), record["metrics"])


def _evaluation(record: PlainDict, named: str) -> str:
    """The command that makes a record of task=evaluate."""
    words = ["task=evaluate", f"num_samples={record['num_images']}", option("split", record["split"])]
    if record.get("classifier"):
        words.append("classifier=RUN")
    changed = {name: record[name] for name in _SETTINGS if record.get(name) not in (None, _NEUTRAL.get(name))}
    words += [option(name, value) for name, value in changed.items() if isinstance(value, int | float | str)]
    return command("sample", *words, named)


def tested(run: Run) -> dict[str, float]:
    """The figures of the test after training, where these are the weights that were tested: the best, in the end."""
    if run.file.stem != "best":
        return {}
    rows = [row for row in logged(run.folder) if "test/loss" in row]
    if not rows or rows[-1].get("step", 0) < run.contents["global_step"]:
        return {}
    return {name: value for name, value in rows[-1].items() if name.startswith("test/")}


def logged(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, of each the numbers that it has; none where there is no such file."""
    file = folder / METRICS
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        rows = [{name: _number(cell) for name, cell in row.items()} for row in csv.DictReader(lines)]
    return [{str(name): value for name, value in row.items() if value is not None} for row in rows]


def _number(cell: Plain) -> float | None:
    """What a cell of a file says, which may be anyone's; None where it is no number."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if isfinite(value) else None


def evaluated(trained: TrainedRun) -> PlainDict:
    """The newest record of task=evaluate of these very weights; empty where there is none."""
    for file in newest(trained, "evaluate*/evaluation.json"):
        record = _read(file)
        if record and record["step"] == trained.step and record.get("steps") == trained.steps:
            return record
    return {}


def _read(file: Path) -> PlainDict:
    """A record of task=evaluate, without what is no number among its figures; empty where the file is none."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    kinds = {"step": int, "num_images": int, "split": str, "metrics": dict}
    if not isinstance(record, dict) or not all(isinstance(record.get(name), kind) for name, kind in kinds.items()):
        return {}
    return record | {"metrics": {k: v for k, v in record["metrics"].items() if isinstance(v, int | float)}}


def newest(trained: TrainedRun, pattern: str) -> list[Path]:
    """Files in the folders of the runs, the newest first."""
    own = trained.runs[1:] if trained.priors else trained.runs
    found = [file for run in own for file in output_base(run.folder).glob(pattern)]
    return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)
