"""A trained run, opened for the tasks of `vqgen.tasks`: by `sample.py`, or from a notebook."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.devices import device_of
from vqgen.errors import CheckpointError, ConfigError
from vqgen.plain import Plain, PlainDict
from vqgen.protocols import Prior, RecordedImages, Tokenizer, priors_of
from vqgen.runs.checkpoint import Run, images_of, module_of, open_run, open_tokenizer
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.folders import find_runs, run_name
from vqgen.runs.provenance import differences, other_classes, provenance
from vqgen.runs.trained_run import TrainedRun


def open_trained(
    run: str | Path | Sequence[str | Path],
    checkpoint: str = "best",
    tokenizer: str | None = None,
    data_root: str | None = None,
    data_changed: bool = False,
    device: str | torch.device = "auto",
) -> TrainedRun:
    """A run, ready for the tasks of `vqgen.tasks`.

    Args:
        run: a run folder, checkpoint file, published folder or `hf://USER/NAME`; a list of them, or the folder of a
            multirun, for the priors of all levels.
        checkpoint: which of a folder's checkpoints, `best` or `last`.
        tokenizer: where a prior's tokenizer is, if it has moved.
        data_root: where the images are, if they have moved.
        data_changed: whether images of other classes than the run's are meant.
        device: where the models compute: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        UserError: not there, not a checkpoint, or priors of different tokenizers.
    """
    places = str(run) if isinstance(run, str | Path) else [str(one) for one in run]
    return trained(
        [open_run(folder, checkpoint) for folder in find_runs(places)], tokenizer, data_root, data_changed, device
    )


def trained(
    runs: list[Run],
    tokenizer: str | None = None,
    data_root: str | None = None,
    data_changed: bool = False,
    device: str | torch.device = "auto",
) -> TrainedRun:
    """One run, or the priors of one tokenizer's levels, with their models built, as the tasks take them.

    Args:
        runs: an autoencoder's, or one of each level's prior.
        tokenizer: where the priors' tokenizer is, if it has moved.
        data_root: where the images are, if they have moved.
        data_changed: whether images of other classes than the runs' are meant.
        device: where all of them compute, as in `open_trained`.
    """
    device = device_of(device)
    models = [module_of(run).to(device) for run in runs]
    details = about(runs[0].config, runs[0].folder, runs[0].contents["global_step"], runs[0].data, device)
    if runs[0].tokenizer is None:
        if len(runs) > 1:
            raise ConfigError(f"run: several runs must be the priors of one tokenizer, and '{runs[0].folder}' is none")
        images = _images(runs[0], runs[0], data_root, data_changed)
        return TrainedRun(models[0], [], None, images, **details, runs=runs)
    marks = {run.tokenizer["fingerprint"] for run in runs if run.tokenizer}
    if len(marks) > 1:  # an older run knows its tokenizer by a hash of another kind
        marks = {fingerprint(open_tokenizer(run, tokenizer)[1]) for run in runs if run.tokenizer}
    if len(marks) > 1:
        places = ", ".join(f"'{run.folder}' on {run.tokenizer['path']}" for run in runs if run.tokenizer)
        raise ConfigError(f"run: these priors were trained on different tokenizers: {places}")
    for run in runs[1:]:
        _check_alike(runs[0], run)
    parts: list[tuple[list[Prior], Run]] = []
    for model, run in zip(models, runs, strict=True):
        if not (of_run := priors_of(model)):
            raise CheckpointError(f"'{run.file}' is no prior: it draws no codes of its tokenizer")
        parts.append((of_run, run))
    parts.sort(key=lambda part: part[0][0].level)
    priors = [prior for of_run, _ in parts for prior in of_run]
    details["steps"] = {run_name(run.folder): run.contents["global_step"] for _, run in parts}
    source, module = open_tokenizer(runs[0], tokenizer)
    images = _images(source, runs[0], data_root, data_changed)
    coder = module.to(device)
    if not isinstance(coder, Tokenizer):
        raise CheckpointError(f"'{source.file}' is no tokenizer: it gives images no codes")
    return TrainedRun(models[0], priors, coder, images, **details, runs=[source, *(run for _, run in parts)])


def _images(source: Run, run: Run, root: str | None, accepted: bool) -> Callable[[], RecordedImages]:
    """Opens the images of a tokenizer's or another image model's run once, to be compared with what `run` has read."""

    @functools.cache
    def opened() -> RecordedImages:
        images = images_of(source, root)
        images.compare = compare
        return images

    def compare(images: RecordedImages, split: str) -> None:
        now = provenance(images, [split])
        if other_classes(run.data, now) and not accepted:
            require_same(run, images, now)
        if told := differences(run.data, now):
            rank_zero_warn(f"{not_the_same(run, images, told)}; figures of these are no figures of those")

    return opened


def _check_alike(first: Run, other: Run) -> None:
    """Priors that are used together have learned from the same images."""
    told = "; ".join(differences(first.data, other.data))
    line = f"'{other.folder}' learned from other images than '{first.folder}': {told}"
    if other_classes(first.data, other.data):
        raise ConfigError(f"run: {line}; take priors with the same classes")
    if told:
        rank_zero_warn(line)


def require_same(run: Run, images: RecordedImages, now: PlainDict, accepted: bool = False) -> list[str]:
    """Compare images with those that a run has read, and return in words what has changed.

    Args:
        run: of any version.
        images: the data module.
        now: what is read of it (vqgen.runs.provenance).
        accepted: whether the user has said that others are meant: that is told, and no error.

    Raises:
        ConfigError: they are others.
    """
    if "splits" not in run.data and "variance" not in now and "splits" in now:
        now = now | {"variance": images.variance()}  # all that an old run knows of its images
    told = differences(run.data, now)
    if told and not accepted:
        raise ConfigError(
            f"{not_the_same(run, images, told)}; put those back, or say where they are (data_root=FOLDER, or "
            "data.root=FOLDER beside resume=RUN), or, where these are meant: data_changed=true"
        )
    if told:
        rank_zero_warn(f"{not_the_same(run, images, told)}; these are taken (data_changed=true)")
    return told


def not_the_same(run: Run, images: RecordedImages, told: list[str]) -> str:
    """That images are others than a run has read."""
    return f"the images of '{images.origin}' are not those that '{run.folder}' learned from: {'; '.join(told)}"


def about(
    config: Mapping[str, Plain], folder: Path, step: int, data: Mapping[str, Plain], device: torch.device
) -> PlainDict:
    """What a `TrainedRun` tells of its run, from the config."""
    facts = config["facts"]
    return {
        "folder": folder,
        "step": step,
        "seed": config["seed"],
        "data": data,
        "open": functools.partial(open_trained, device=device),
        "class_names": facts.get("class_names") or [],
        "attribute_names": facts.get("attribute_names") or [],
    }
