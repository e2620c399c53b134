"""The data of a run: images, or the codes that a trained tokenizer gives to its own images."""

from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from torch import nn

from vqgen.batch import SPLITS
from vqgen.config.arguments import CODES
from vqgen.data.loading.loader import DataModule
from vqgen.errors import ConfigError, near_miss
from vqgen.plain import PlainDict
from vqgen.protocols import Images, Tokenizer, priors_of
from vqgen.runs import checkpoint
from vqgen.runs.allow_list import refuse_foreign
from vqgen.runs.checkpoint import Run, build, open_run
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.opening import about, require_same
from vqgen.runs.provenance import provenance
from vqgen.runs.trained_run import TrainedRun


class Machine(NamedTuple):
    """The device of this process, and how many processes train."""

    device: torch.device
    num_processes: int


class Source(NamedTuple):
    """The data module of a run, and what is known of it.

    `facts` go into the config; `images` are the data themselves, or what the codes are of; `tokenizer` is the one of a
    prior, and `lineage` its path, as seen from the run folder, and its fingerprint; `record` says which images were
    read (vqgen.runs.provenance).
    """

    data: DataModule
    facts: PlainDict
    images: Images
    record: PlainDict
    tokenizer: Tokenizer | None = None
    lineage: dict[str, str] | None = None


def open_source(config: PlainDict, folder: Path, machine: Machine, resumed: Run | None = None) -> Source:
    """Open the data of a run.

    Args:
        config: the run's, resolved.
        folder: of the run, where a prior keeps its tokenizer.
        machine: where the run trains, and its tokenizer encodes.
        resumed: the run to resume, if any.

    Raises:
        UserError: the data are not there, or have changed since the run that is resumed (which `data_changed` accepts),
            or `tokenizer` or `level` does not fit.
    """
    if config["data"]["_target_"] != CODES:
        _read(data := build(config["data"], "data"))
        facts, record = data.facts(), provenance(data, SPLITS)
        if resumed:
            require_same(resumed, data, record | {"variance": facts["variance"]}, config["data_changed"])
        return Source(data, facts, data, record)
    return _open_codes(config, folder, machine, resumed if resumed and resumed.tokenizer else None)


def _read(data: DataModule) -> None:
    """Prepare the data, and print the line that says what was read."""
    data.prepare_data()
    data.tell()


def _open_codes(config: PlainDict, folder: Path, machine: Machine, known: Run | None) -> Source:
    """The codes of the tokenizer of the resumed prior `known`, or of a new one, of which the run then keeps a copy."""
    run, tokenizer = checkpoint.open_tokenizer(known) if known else _open_tokenizer(config["tokenizer"])
    assert isinstance(tokenizer, Tokenizer)
    refuse_foreign(run.config["facts"], run.file, "facts")  # they go into the prior's config
    level = _level(config, tokenizer.level_names)
    mark = fingerprint(tokenizer)
    images: Any = checkpoint.images_of(run, config.get("data_root"))  # RecordedImages, and a data module
    _read(images)
    record = provenance(images, SPLITS)
    changed = require_same(known or run, images, record, config["data_changed"])
    tokenizer.to(machine.device)
    of_codes = {"encode": tokenizer.encode, "fingerprint": mark, "num_embeddings": tokenizer.num_embeddings}
    data = build(config["data"], "data", images=images, level=level, **of_codes)
    if machine.num_processes == 1:
        _read(data)  # else all processes extract the codes together, when they have started
    facts = run.config["facts"] | {
        "grid": list(tokenizer.grids[level]),
        "num_embeddings": tokenizer.num_embeddings[level],
        "codes_per_place": tokenizer.codes_per_place,
        "upper_grids": [list(grid) for grid in tokenizer.grids[:level]],
        "upper_num_embeddings": tokenizer.num_embeddings[:level],
    }
    facts |= images.label_facts() if changed else {}
    if not known:
        checkpoint.keep_tokenizer(run, folder)
    lineage = {"path": checkpoint.relative_to(folder, run.file), "fingerprint": mark}
    return Source(data, facts, images, record, tokenizer, lineage)


def _open_tokenizer(path: str) -> tuple[Run, nn.Module]:
    run = open_run(path)
    tokenizer = checkpoint.module_of(run)
    if not isinstance(tokenizer, Tokenizer) or run.tokenizer:
        raise ConfigError(f"tokenizer={path}: this run is a {type(tokenizer).__name__} and has no codes; a VQ-VAE has")
    return run, tokenizer


def _level(config: PlainDict, names: list[str]) -> int:
    """The level that a prior is for: the one asked for, or the top one; of a prior of several levels the last."""
    if config["level"] is None:
        return len(names) - 1 if hasattr(get_class(config["model"]["_target_"]), "of_levels") else 0
    return level_index(config["level"], names)


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


def in_training(model: pl.LightningModule, config: PlainDict, folder: Path, source: Source) -> TrainedRun:
    """A model that is being trained, as the tasks take it; `config`, `folder` and `source` are the run's."""
    details = about(config, folder, model.global_step, source.record, model.device)
    return TrainedRun(model, priors_of(model), source.tokenizer, lambda: source.images, **details)
