"""What a training needs beside its data, built of its config: the device, the model, the callbacks."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.config.arguments import signature_at
from vqgen.data.loading.loader import DataModule
from vqgen.devices import is_slow_in_bfloat16
from vqgen.environment.launcher import trial
from vqgen.errors import ConfigError
from vqgen.plain import PlainDict
from vqgen.runs.checkpoint import Run, build, open_run
from vqgen.training import processes
from vqgen.training.averaged_weights import AveragedWeights
from vqgen.training.fine_tuning import Frozen, freeze, start_from
from vqgen.training.messages import silence
from vqgen.training.perceptual import give_network
from vqgen.training.pruning import Pruning
from vqgen.training.record import Record
from vqgen.training.searches import THROWN_AWAY, SearchResult, search
from vqgen.training.source import Machine, Source, in_training
from vqgen.training.threads import Threads

NEED_LOGGER = [f"pytorch_lightning.callbacks.{name}" for name in ("LearningRateMonitor", "DeviceStatsMonitor")]


def machine_of(config: PlainDict) -> Machine:
    """Where this process will train, asked of a trainer that is thrown away: `hardware`, its strategy, its rank."""
    with silence():
        trainer = build(config["trainer"], "trainer", **THROWN_AWAY)
    processes.check(trainer, config["hardware"])
    _tell_slow_precision(config["hardware"]["precision"], trainer.strategy.root_device)
    return Machine(trainer.strategy.root_device, trainer.num_devices * trainer.num_nodes)


def tuned(config: PlainDict, data: DataModule, folder: Path) -> list[SearchResult]:
    """What the searches of `config["tune"]` find."""
    searches = {name: build(node, f"tune.{name}") for name, node in (config["tune"] or {}).items()}
    trainer = functools.partial(build, config["trainer"], "trainer")
    return search(searches, trainer, functools.partial(make_model, config), data, folder)


def make_model(config: PlainDict, resumed: Run | None = None) -> pl.LightningModule:
    """The model with the weights that it starts from, in its memory layout and compiled.

    It must take the weights of the run that is resumed.
    """
    model: pl.LightningModule = build(config["model"], "model")
    if resumed and resumed.has_weights:
        _check_fits(model, resumed)
    else:
        if config.get("weights"):
            start_from(model, open_run(config["weights"]), config["weights_strict"])
        if config.get("perceptual"):
            give_network(model, config["perceptual"])
    freeze(model, config.get("freeze") or [])
    place(model, config["hardware"])
    return model


def _tell_slow_precision(precision: str | int, device: torch.device) -> None:
    """Warn where a CPU that has no bfloat16 units is to compute in bfloat16."""
    if "bf16" in str(precision) and is_slow_in_bfloat16(device):
        rank_zero_warn(
            f"hardware.precision={precision}: this CPU has no bfloat16 units, and a step may take ten times as long; "
            "take hardware=cpu"
        )


def place(model: torch.nn.Module, hardware: PlainDict) -> None:
    """Memory layout and compilation, as the hardware config asks."""
    if hardware["channels_last"]:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if hardware["compile"]:
        for network in model.children():
            network.compile()


def _check_fits(model: pl.LightningModule, resumed: Run) -> None:
    """Raise ConfigError where the sizes of a resumed run's model were changed."""
    weights = dict(resumed.contents["state_dict"])
    try:
        model.load_state_dict(weights)  # a network of an older version may be built without a part of today's
        return
    except RuntimeError:
        pass
    saved = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    built = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(saved.keys() | built.keys()):
        if saved.get(name) != built.get(name):
            raise ConfigError(
                f"resume={resumed.folder}: its {name} is {saved.get(name)}, and the config makes {built.get(name)}; "
                "the sizes of a model cannot change"
            )


def make_callbacks(config: PlainDict, source: Source, folder: Path, words: Sequence[str] = ()) -> list[pl.Callback]:
    """The configured callbacks, the record that makes a checkpoint rebuild itself, and the choice of threads.

    The record keeps `words`, the options that the run was started with.
    """
    callbacks: list[pl.Callback] = [Record(config, source.lineage, source.record, words), Threads()]
    if config.get("freeze"):
        callbacks.append(Frozen(config["freeze"]))
    if trained := trial():
        callbacks.append(Pruning(trained))
    runtime = {
        "decode": source.tokenizer and source.tokenizer.decode,
        "trained": functools.partial(in_training, config=config, folder=folder, source=source),
    }
    for key, node in (config["callbacks"] or {}).items():
        if config["logger"] or node["_target_"] not in NEED_LOGGER:
            wanted = signature_at(f"callbacks.{key}._target_", node["_target_"]).parameters.keys() & runtime.keys()
            callbacks.append(build(node, f"callbacks.{key}", **{name: runtime[name] for name in wanted}))
    return sorted(callbacks, key=lambda callback: isinstance(callback, AveragedWeights))  # after those that draw
