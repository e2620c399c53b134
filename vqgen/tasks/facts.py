"""What is known of a run, for its model card and its report: what it is, how it learned, what was measured of it."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import nn

from vqgen.batch import SPLITS
from vqgen.drawing.sampling import PRECISIONS
from vqgen.errors import listed
from vqgen.nn.sizes import num_parameters
from vqgen.plain import Plain, PlainDict, finite
from vqgen.runs.folders import output_base
from vqgen.runs.published import public
from vqgen.runs.run import Run
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.words import Opened

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
    splits = section(dict(data), "splits")
    counts = {name: section(splits, name).get("images") for name in splits}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def of_training(run: Run) -> Iterator[str]:
    """How long, by what, and with which code a run learned."""
    yield f"{run.contents['global_step']:,} steps"
    optimizer = section(run.config, "optim")
    if "_target_" in optimizer:
        rate = finite(optimizer.get("lr"))
        yield str(optimizer["_target_"]).rpartition(".")[2] + (f" at a rate of {rate:g}" if rate is not None else "")
    if size := section(run.config, "data").get("batch_size"):
        yield f"batches of {size}"
    if (decay := finite(section(run.config, "callbacks", "averaged_weights").get("decay"))) is not None:
        yield f"moving averages of the weights ({decay:g})"
    yield f"seed {run.config['seed']}"
    if version := run.contents["vqgen"].get("code_version"):
        yield f"by vqgen {version}"


def section(config: PlainDict, *names: str) -> PlainDict:
    """A section of a config, or one within another; empty where the file has something else there."""
    node: Plain = config
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def measured(trained: TrainedRun, opened: Opened) -> Iterator[Measured]:
    """What was measured of these very weights; `opened` is how commands name the run."""
    for one, module in models_of(trained):
        if figures := tested(one):
            yield Measured(f"At the end of the training of `{network(module)}`, on the test split", "", figures)
    if record := evaluated(trained):
        yield _evaluation(record, opened)


def _evaluation(record: PlainDict, opened: Opened) -> Measured:
    """A record of task=evaluate, which may be anyone's: its command has plain numbers and known names of it alone."""
    changed = {name: record[name] for name in _SETTINGS if record.get(name) not in (None, _NEUTRAL.get(name))}
    unsaid = [name for name, value in changed.items() if not _is_setting(value)]
    options = {name: value for name, value in changed.items() if name not in unsaid}
    if record["split"] in SPLITS:
        options = {"split": record["split"], **options}
    else:
        unsaid.append("split")
    classifier = "RUN" if record.get("classifier") else None
    line = opened.command("evaluate", num_samples=record["num_images"], classifier=classifier, **options)
    lacks = f"; the command lacks {listed(unsaid)}, as no words say it" if unsaid else ""
    return Measured(f"On {record['num_images']:,} images{lacks}", line, record["metrics"])


def _is_setting(value: Plain) -> bool:
    """Whether a value of a record is one of a setting: a number, a precision, or a list of one for each level."""
    each = value if isinstance(value, list) else [value]
    return all(one is None or finite(one) is not None or one in PRECISIONS for one in each)


def tested(run: Run) -> dict[str, float]:
    """The figures of the test after training, where these are the weights that were tested: the best, in the end."""
    if run.file.stem != "best":
        return {}
    rows = [row for row in logged(run.folder) if "test/loss" in row]
    if not rows or rows[-1].get("step", 0) < run.contents["global_step"]:
        return {}
    return {name: value for name, value in rows[-1].items() if name.startswith("test/")}


def logged(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, of each the numbers that it has; none where no such file can be read."""
    file = folder / METRICS
    if not file.is_file():
        return []
    try:
        with file.open(newline="", encoding="utf-8", errors="replace") as lines:
            rows = [{name: _number(cell) for name, cell in row.items()} for row in csv.DictReader(lines)]
    except (OSError, csv.Error):  # a cell of more than 131,072 letters
        return []
    return [{str(name): value for name, value in row.items() if value is not None} for row in rows]


def _number(cell: Plain) -> float | None:
    """What a cell of a file says, which may be anyone's; None where it is no number."""
    try:
        return finite(float(cell))
    except (TypeError, ValueError, OverflowError):
        return None


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
    if record["num_images"] is True or record["num_images"] < 1:
        return {}
    figures = {name: finite(value) for name, value in record["metrics"].items()}
    return record | {"metrics": {name: value for name, value in figures.items() if value is not None}}


def newest(trained: TrainedRun, pattern: str) -> list[Path]:
    """Files in the folders of the runs, the newest first."""
    own = trained.runs[1:] if trained.priors else trained.runs
    found = [file for run in own for file in output_base(run.folder).glob(pattern)]
    return sorted(found, key=_written, reverse=True)


def _written(file: Path) -> float:
    """When a file was written; first of all where it is a link that leads nowhere."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
