"""What a run learns from: images, or the codes that a trained tokenizer gives to its own images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vqgen.config.arguments import CODES
from vqgen.errors import ConfigError, near_miss
from vqgen.protocols import Images, Tokenizer
from vqgen.runs.allow_list import refuse_foreign
from vqgen.runs.checkpoint import (
    Run,
    build,
    images_of,
    keep_tokenizer,
    module_of,
    open_run,
    open_tokenizer,
    relative_to,
)
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.opening import about, require_same
from vqgen.runs.provenance import provenance
from vqgen.runs.trained_run import TrainedRun

SPLITS = ("train", "val", "test")


class Source(NamedTuple):
    """What a run learns from: the data, what only they know, the images, and (for a prior) whose codes they are.

    `tokenizer` is that module, and `lineage` its path, as seen from the run folder, and its fingerprint; `record` says
    which images were read (vqgen.runs.provenance).
    """

    data: Any
    facts: dict[str, Any]
    images: Images
    tokenizer: Tokenizer | None = None
    lineage: dict[str, str] | None = None
    record: Mapping[str, Any] = {}


def open_source(
    config: Mapping[str, Any], folder: Path, device: torch.device, resumed: Run | None = None
) -> Source:
    """Open what a run learns from: images, or the codes that a tokenizer gives to its own images.

    Args:
        config: the run's, resolved.
        folder: of the run, where a prior keeps its tokenizer.
        device: where the run trains, and its tokenizer encodes.
        resumed: the run to go on with, if any.

    Raises:
        UserError: the data are not there, or not those that a run before learned from (which `data_changed` accepts),
            or `tokenizer` or `level` does not fit.
    """
    if config["data"]["_target_"] != CODES:
        data = _read(build(config["data"], "data"))
        facts, record = data.facts(), provenance(data, SPLITS)
        if resumed:
            require_same(resumed, data, record | {"variance": facts["variance"]}, config["data_changed"])
        return Source(data, facts, data, record=record)
    return _open_codes(config, folder, device, resumed if resumed and resumed.tokenizer else None)


def _read(data: Any) -> Any:
    """The data, read and said to be: what is made of them is made of what this line says."""
    data.prepare_data()
    data.tell()
    return data


def _open_codes(config: Mapping[str, Any], folder: Path, device: torch.device, known: Run | None) -> Source:
    """The codes of a tokenizer: that of the prior `known`, or a new one, of which the run then keeps a copy."""
    run, tokenizer = _tokenizer(config["tokenizer"], known)
    refuse_foreign(run.config["facts"], run.file, "facts")   # they go into the prior's config
    level = level_index(config["level"], tokenizer.level_names)
    mark = fingerprint(tokenizer)
    images = _read(images_of(run, config.get("data_root")))
    record = provenance(images, SPLITS)
    changed = require_same(known or run, images, record, config["data_changed"])
    tokenizer.to(device)
    data = build(
        config["data"], "data", images=images, encode=tokenizer.encode, fingerprint=mark,
        num_embeddings=tokenizer.num_embeddings, level=level,
    )  # fmt: skip
    _read(data)  # before the trainer's other processes start: extraction may take long
    facts = run.config["facts"] | {
        "grid": list(tokenizer.grids[level]),
        "num_embeddings": tokenizer.num_embeddings[level],
        "upper_grids": [list(grid) for grid in tokenizer.grids[:level]],
        "upper_num_embeddings": tokenizer.num_embeddings[:level],
    } | (images.label_facts() if changed else {})
    if not known:
        keep_tokenizer(run, folder)
    lineage = {"path": relative_to(folder, run.file), "fingerprint": mark}
    return Source(data, facts, images, tokenizer, lineage, record)


def _tokenizer(path: str, prior: Run | None) -> tuple[Run, Any]:
    """The tokenizer at a path, or the one that a prior that goes on was trained on."""
    if prior:
        return open_tokenizer(prior)
    run = open_run(path)
    tokenizer = module_of(run)
    if not isinstance(tokenizer, Tokenizer) or run.tokenizer:
        raise ConfigError(f"tokenizer={path}: this run is a {type(tokenizer).__name__} and has no codes; a VQ-VAE has")
    return run, tokenizer


def level_index(level: int | str, names: list[str]) -> int:
    """Number of a level (from the top) given by number or name.

    Raises:
        ConfigError: the tokenizer has no such level.
    """
    if isinstance(level, int) and 0 <= level < len(names):
        return level
    if level in names:
        return names.index(str(level))
    raise ConfigError(f"level={level}: this tokenizer has {len(names)} level(s){near_miss(str(level), names)}")


def in_training(model: Any, config: Mapping[str, Any], folder: Path, source: Source) -> TrainedRun:
    """A model that is being trained, as the tasks take it.

    Args:
        model: the module.
        config: the run's, resolved.
        folder: the run's.
        source: what it learns from.
    """
    priors = [model] if source.tokenizer is not None else []
    details = about(config, folder, model.global_step, source.record, model.device)
    return TrainedRun(model, priors, source.tokenizer, lambda: source.images, **details)
