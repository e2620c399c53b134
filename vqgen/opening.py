"""A trained run, opened for the tasks of `vqgen.tasks`: by `sample.py`, or from a notebook."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vqgen.checkpoint import Run, images_of, module_of, open_run, open_tokenizer
from vqgen.devices import device_of
from vqgen.errors import ConfigError
from vqgen.runs import find_runs
from vqgen.source import Source
from vqgen.tasks.trained import Trained


def open_trained(
    run: str | Path | Sequence[str | Path], checkpoint: str = "best", tokenizer: str | None = None,
    data_root: str | None = None, device: str | torch.device = "auto",
) -> Trained:
    """A run, ready for the tasks of `vqgen.tasks`.

    Args:
        run: a run folder or checkpoint file; a list of them, or the folder of a multirun, for the priors of all levels.
        checkpoint: which of a folder's checkpoints, `best` or `last`.
        tokenizer: where a prior's tokenizer is, if it has moved.
        data_root: where the images are, if they have moved.
        device: where the models compute: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        UserError: not there, not a checkpoint, or priors of different tokenizers.
    """
    places = str(run) if isinstance(run, str | Path) else [str(one) for one in run]
    return trained([open_run(folder, checkpoint) for folder in find_runs(places)], tokenizer, data_root, device)


def trained(
    runs: list[Run], tokenizer: str | None = None, data_root: str | None = None, device: str | torch.device = "auto"
) -> Trained:
    """One run, or the priors of one tokenizer's levels, with their models built, as the tasks take them.

    Args:
        runs: an autoencoder's, or one of each level's prior.
        tokenizer: where the priors' tokenizer is, if it has moved.
        data_root: where the images are, if they have moved.
        device: where all of them compute, as in `open_trained`.
    """
    device = device_of(device)
    models: list[Any] = [module_of(run).to(device) for run in runs]
    about = _about(runs[0].config, runs[0].folder, runs[0].contents["global_step"], device)
    if runs[0].tokenizer is None:
        if len(runs) > 1:
            raise ConfigError(f"run: several runs must be the priors of one tokenizer, and '{runs[0].folder}' is none")
        return Trained(models[0], [], None, functools.cache(lambda: images_of(runs[0], data_root)), **about)
    if len({run.tokenizer["fingerprint"] for run in runs if run.tokenizer}) > 1:
        places = ", ".join(f"'{run.folder}' on {run.tokenizer['path']}" for run in runs if run.tokenizer)
        raise ConfigError(f"run: these priors were trained on different tokenizers: {places}")
    pairs = sorted(zip(models, runs, strict=True), key=lambda pair: pair[0].level)
    priors = [prior for prior, _ in pairs]
    about["steps"] = {run.folder.name: run.contents["global_step"] for _, run in pairs}
    source, module = open_tokenizer(runs[0], tokenizer)
    images = functools.cache(lambda: images_of(source, data_root))
    return Trained(priors[0], priors, module.to(device), images, **about)


def in_training(model: Any, config: Mapping[str, Any], folder: Path, source: Source) -> Trained:
    """A model that is being trained, as the tasks take it.

    Args:
        model: the module.
        config: the run's, resolved.
        folder: the run's.
        source: what it learns from.
    """
    priors = [model] if source.tokenizer is not None else []
    about = _about(config, folder, model.global_step, model.device)
    return Trained(model, priors, source.tokenizer, lambda: source.images, **about)


def _about(config: Mapping[str, Any], folder: Path, step: int, device: torch.device) -> dict[str, Any]:
    facts = config["facts"]
    return {
        "folder": folder, "step": step, "seed": config["seed"],
        "open": functools.partial(open_trained, device=device),
        "class_names": facts["class_names"] or [], "attribute_names": facts["attribute_names"] or [],
    }  # fmt: skip
