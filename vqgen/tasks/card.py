"""The model card of a run: what it is, how it learned and from what, figures with their commands, how to load it."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vqgen.errors import UserError, command, format_number, option
from vqgen.nn.sizes import num_parameters
from vqgen.plain import PlainDict
from vqgen.protocols import Classifier, Variational, usual_prior
from vqgen.runs.folders import output_base
from vqgen.runs.hub import is_address, repository_of
from vqgen.runs.published import CARD, public
from vqgen.runs.run import Run
from vqgen.runs.trained_run import TrainedRun

_HERE = "FOLDER"  # in a card of files that are nowhere yet
_SAMPLES = ("sample*/samples.png", "images/samples_*.png")  # pictures of nothing but what was drawn, best first
_SETTINGS = ("seed", "temperature", "top_k", "top_p", "min_p", "guidance", "precision")  # of samples that were measured
_NEUTRAL = {"seed": 0, "temperature": 1.0, "guidance": 1.0, "precision": "float32"}


def card(
    trained: TrainedRun, repo: str | None, license: str | None, pictures: Mapping[str, bytes] | None
) -> tuple[str, dict[str, bytes]]:
    """The text, and the pictures that it shows, by their names.

    A README.md in the run's folder is taken as it is; the entries that the Hub reads are put above it if it has none.

    Args:
        trained: the run.
        repo: USER/NAME; None where the files stay here.
        license: as the Hub names it, such as `mit`.
        pictures: by name; None for the newest samples of the run.

    Raises:
        UserError: the README.md names a place of this machine.
    """
    written, found = _written(trained, repo, license)
    if pictures is None:
        pictures = found if written else dict(_samples(trained))
    if written.startswith("---"):
        return written, dict(pictures)
    body = written or "\n\n".join(_sections(trained, repo, license, pictures)) + "\n"
    return f"{_front_matter(trained, license)}\n{body}", dict(pictures)


def _written(trained: TrainedRun, repo: str | None, license: str | None) -> tuple[str, dict[str, bytes]]:
    """The user's own card, and those pictures of its folder that it shows; empty where there is none."""
    own = (trained.folder.parent if len(trained.priors) > 1 else trained.folder) / CARD
    if not own.is_file():
        return "", {}
    text = own.read_text(encoding="utf-8")
    if str(Path.home()) != "/" and str(Path.home()) in text:
        raise UserError(
            f"'{own}' names '{Path.home()}', a folder of this machine: take that out, it would be published"
        )
    if license and text.startswith("---"):
        raise UserError(f"license={license}: '{own}' has entries of its own: write it there, or move that card away")
    names = [name for name in re.findall(r"!\[[^\]]*\]\(([\w-][\w.-]*\.png)\)", text) if (own.parent / name).is_file()]
    if repo:
        text = re.sub(rf'(?<=[="]){_HERE}\b', f"hf://{repo}", text)
    return text, {name: (own.parent / name).read_bytes() for name in names}


def _front_matter(trained: TrainedRun, license: str | None) -> str:
    """The entries of the Hub: library, licence, what the model is for, the published tokenizer that it learned on."""
    entries = ["library_name: vqgen"]
    if license:
        entries.append(f"license: {license}")
    if isinstance(trained.model, Classifier):
        entries.append("pipeline_tag: image-classification")
    elif trained.priors or isinstance(trained.model, Variational):
        entries.append("pipeline_tag: unconditional-image-generation")
    base = str(trained.runs[-1].config.get("tokenizer"))
    if trained.priors and is_address(base):
        entries.append(f"base_model: {repository_of(base)}")
    tags = dict.fromkeys(["vqgen", "pytorch", *(type(module).__name__.lower() for module in trained.modules)])
    return "\n".join(["---", *entries, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _sections(trained: TrainedRun, repo: str | None, license: str | None, shown: Mapping[str, bytes]) -> Iterator[str]:
    address = f"hf://{repo}" if repo else _HERE
    yield f"# {repo.partition('/')[2] if repo else trained.name}"
    yield "\n".join(f"- {line}" for line in _models(trained))
    for name in shown:
        yield f"![{Path(name).stem}]({name})"
    yield f"## Use\n\n{_use(trained, address)}"
    yield "## Training\n\n" + "\n".join(f"- {line}" for line in _training(trained))
    yield "## Figures\n\n" + ("\n\n".join(_figures(trained, address)) or "None are known of these weights.")
    yield f"## Licence\n\n{license or 'Not stated: ask the author.'}"


def _models(trained: TrainedRun) -> Iterator[str]:
    """A line for each model."""
    for module in trained.modules:
        yield f"`{_network(module)}`: {num_parameters(module):,} parameters"
    if trained.levels:
        maps = zip(trained.levels, trained.coder.grids, trained.coder.num_embeddings, strict=True)
        sizes = [(name, "x".join(map(str, grid)), k) for name, grid, k in maps]
        levels = ", ".join(f"{name if name.startswith(size) else f'{name} {size}'} of {k}" for name, size, k in sizes)
        yield f"an image of {_shape(trained)} is maps of codes: {levels}"
    elif trained.has_latents:
        yield f"an image of {_shape(trained)} is a vector of {trained.latent.latent_dim} numbers"
    if trained.class_names:
        yield f"classes: {', '.join(trained.class_names)}"


def _network(module: nn.Module) -> str:
    """`RasterPrior (PixelSNAIL)`: the class, and that of its network where it has one."""
    network = getattr(module, "network", None)
    return type(module).__name__ + (f" ({type(network).__name__})" if isinstance(network, nn.Module) else "")


def _shape(trained: TrainedRun) -> str:
    return "x".join(map(str, trained.autoencoder.shape))


def _use(trained: TrainedRun, address: str) -> str:
    shell = ["pip install 'vqgen[hub]'"]
    if trained.priors or isinstance(trained.model, Variational):
        shell.append(command("sample", f"run={address}"))
    elif trained.levels or trained.has_latents:
        shell.append(command("sample", f"task=reconstruct run={address}"))
    if trained.levels and not trained.priors:
        shell.append(command("train", f"model={usual_prior(trained.coder)} tokenizer={address}"))
    lines = [f'from vqgen import load, open_trained\nrun = open_trained("{address}")   # for the tasks of vqgen.tasks']
    if len(trained.runs) == 1 + bool(trained.priors):
        lines.append(f'model = load("{address}")         # the model alone')
    code = "\n".join(f"    {line}" for line in "\n".join(lines).splitlines())
    return "\n".join(f"    {line}" for line in shell) + f"\n\nFrom Python:\n\n{code}\n\n{_ALONE}"


_ALONE = """`model.safetensors` holds every weight under its name in the module, `config.json` the arguments that it is
built with (`config.model`): both are read without vqgen, too."""


def _training(trained: TrainedRun) -> Iterator[str]:
    """A line for what it learned from, and one for how each model did."""
    source = public(trained.runs[0].config)["data"]
    splits: Any = trained.data.get("splits") or {}
    counts = ", ".join(f"{split['images']:,} {name}" for name, split in splits.items() if "images" in split)
    yield f"data: `{source['_target_']}`" + (f", images: {counts}" if counts else "")
    for run, module in zip(trained.runs, trained.modules, strict=True):
        yield f"`{_network(module)}`: {', '.join(_of_training(run))}"
    if trained.priors and (mark := trained.runs[-1].tokenizer):
        yield f"the priors learned the codes of the tokenizer with fingerprint `{mark['fingerprint']}`; it is included"


def _of_training(run: Run) -> Iterator[str]:
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


def _figures(trained: TrainedRun, address: str) -> Iterator[str]:
    """Tables of what was measured of these very weights, each with where it comes from."""
    for run, module in zip(trained.runs, trained.modules, strict=True):
        if tested := _tested(run):
            yield f"At the end of the training of `{_network(module)}`, on the test split:\n\n{_table(tested)}"
    if record := _evaluated(trained):
        words = ["task=evaluate", f"num_samples={record['num_images']}", f"split={record['split']}"]
        if record.get("classifier"):
            words.append("classifier=RUN")
        changed = {name: record[name] for name in _SETTINGS if record.get(name) not in (None, _NEUTRAL.get(name))}
        words += [option(name, value) for name, value in changed.items() if isinstance(value, int | float | str)]
        yield f"By `{command('sample', *words, f'run={address}')}`:\n\n{_table(record['metrics'])}"


def _table(figures: Mapping[str, float]) -> str:
    rows = [f"| {name} | {format_number(value)} |" for name, value in figures.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows])


def _tested(run: Run) -> dict[str, float]:
    """The figures of the test after training, where these are the weights that were tested: the best, in the end."""
    file = run.folder / "metrics.csv"
    if run.file.stem != "best" or not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("test/loss")]
    if not rows or int(float(rows[-1]["step"])) < run.contents["global_step"]:
        return {}
    return {name: float(value) for name, value in rows[-1].items() if name.startswith("test/") and value}


def _evaluated(trained: TrainedRun) -> PlainDict:
    """The newest record of task=evaluate of these very weights; empty where there is none."""
    for file in _newest(trained, "evaluate*/evaluation.json"):
        record: PlainDict = json.loads(file.read_text(encoding="utf-8"))
        if record["step"] == trained.step and record.get("steps") == trained.steps:
            return record
    return {}


def _samples(trained: TrainedRun) -> Iterator[tuple[str, bytes]]:
    """The newest picture of samples. Pictures of the data (reconstructions) are not for others before one says so."""
    for pattern in _SAMPLES:
        for file in _newest(trained, pattern):
            yield "samples.png", file.read_bytes()
            return


def _newest(trained: TrainedRun, pattern: str) -> list[Path]:
    """Files in the folders of the runs, the newest first."""
    own = trained.runs[1:] if trained.priors else trained.runs
    found = [file for run in own for file in output_base(run.folder).glob(pattern)]
    return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)
