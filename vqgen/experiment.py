"""Where configuration becomes objects: train(cfg) makes a run, sample(cfg) uses one."""

import functools
import logging
import re
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn

from vqgen.config.arguments import signature_at
from vqgen.config.check import SAMPLING
from vqgen.config.resolvers import sweep_name
from vqgen.devices import device_of
from vqgen.errors import ConfigError, FolderError, command
from vqgen.faults import told, within_memory
from vqgen.logging import of_run as logs
from vqgen.logging.loggers import Wandb
from vqgen.protocols import Prior, Tokenizer
from vqgen.runs.allow_list import refuse_foreign_config, refuse_foreign_writing
from vqgen.runs.atomic import replacing
from vqgen.runs.checkpoint import Run, build, open_last, open_run
from vqgen.runs.checkpoint_io import WholeCheckpointIO
from vqgen.runs.claim import claimed
from vqgen.runs.confine import confine
from vqgen.runs.folders import COMPOSED, find_runs, output_base
from vqgen.runs.opening import trained
from vqgen.tasks.results import results_folder
from vqgen.training import AveragedWeights, Record, processes
from vqgen.training import searches as tuning
from vqgen.training.processes import of_one_run
from vqgen.training.source import Source, in_training, open_source

torch.set_float32_matmul_precision("high")
_PATIENCE = 20.0   # seconds that another evaluation of the run may take to add its figures
NEED_LOGGER = [f"pytorch_lightning.callbacks.{name}" for name in ("LearningRateMonitor", "DeviceStatsMonitor")]


def train(cfg: DictConfig, folder: Path) -> float | None:
    """Train the configured model, or go on with `cfg.resume`.

    Args:
        cfg: a checked config (of a resumed run: its own).
        folder: where the run goes.

    Returns:
        The best value of the monitored metric, for a sweep to minimise.
    """
    resumed = open_last(cfg.resume) if cfg.resume else None
    cfg.run_dir = _shown(folder)
    logs.name_wandb_run(cfg, in_sweep=sweep_name() is not None)
    composed = cfg.copy()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    quiet()

    refuse_foreign_config(plain(cfg), resumed.file if resumed else None)
    if resumed:
        refuse_foreign_writing(plain(cfg), resumed.file, folder)
    _confine(cfg, folder)
    source = open_source(plain(cfg), folder, root_device(plain(cfg)), resumed)
    cfg.facts = {**cfg.facts, **source.facts}
    if not resumed:
        _tune(cfg, composed, source, folder)
    config = plain(cfg)
    model = build(config["model"], "model")
    _check_fits(model, resumed)
    write = functools.partial(_write_configs, config, composed, folder)
    if not resumed:
        write()   # of a run that goes on, once it does: changes that cannot be do not stay
    place(model, config["hardware"])
    loggers = logs.make_loggers(config, resumed)
    trainer = build(
        config["trainer"],
        "trainer",
        callbacks=[*make_callbacks(config, source, folder), LambdaCallback(on_train_start=lambda *_: write())],
        logger=loggers,
        plugins=[WholeCheckpointIO()],
        default_root_dir=str(folder),
    )
    try:
        with told(config), of_one_run(trainer):
            trainer.fit(model, datamodule=source.data, ckpt_path=_checkpoint_of(resumed), weights_only=True)
            score = _finish(trainer, model, source, folder)
        if score is not None:
            logs.upload(trainer, model, config, source.lineage)
        return score
    finally:
        for logger in loggers:
            if isinstance(logger, Wandb):
                logger.close()   # the next job of a sweep is another run


def sample(cfg: DictConfig) -> None:
    """Carry out `cfg.task` on a run, write its pictures and arrays, and print where they are."""
    device = device_of(str(cfg.device))
    runs = [open_run(folder, cfg.checkpoint) for folder in find_runs(cfg.run)]
    folders = [run.folder for run in runs]
    confine(Path.cwd(), *folders, *([Path(cfg.out)] if cfg.out else []), foreign=folders)
    options, settings = _options(cfg)
    task = build({"_target_": cfg.task, **options, **settings}, "task")
    name = cfg.task.rpartition(".")[2].lower()
    if not cfg.out or cfg.log:
        logs.refuse_linked(runs[0].folder)
    base = output_base(runs[0].folder)
    asked = " or ".join(f"{key}={options[key]}" for key in options if re.match("num|batch|side|steps", key))
    with claimed(runs[0].folder) if cfg.log else nullcontext():   # a training would write to the same logs
        loggers = logs.loggers_of(runs[0], images=True) if cfg.log else []
        with results_folder(base, name, cfg.out) as folder, within_memory(f"smaller {asked}"):
            outcome = task(trained(runs, cfg.tokenizer, cfg.data_root, cfg.data_changed, device))
            written = outcome.write(folder, cfg.arrays)
        for line in [*written, *filter(None, [outcome.text])]:
            print(line)
        drawn = {key: value for key, value in settings.get("sampling", {}).items() if key != "_target_"}
        logs.add_results(loggers, written, name, options | drawn, runs)
        if outcome.metrics and not cfg.out and base == runs[0].folder:
            _add_figures(loggers, outcome.metrics, runs[0])
        logs.end(loggers)


def _options(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a task, and of those that draw its `sampling`, whose settings stand among the options."""
    values, takes = plain(cfg), signature_at("task", cfg.task).parameters
    options = {name: value for name, value in values.items() if name in takes}
    if "sampling" not in takes:
        return options, {}
    settings = {name: values[name] for name in signature_at("sampling", SAMPLING).parameters if name in values}
    return options, {"sampling": {"_target_": SAMPLING, **settings}}


def _add_figures(loggers: list[Any], metrics: dict[str, float], run: Run) -> None:
    """Add figures to those of the run, unless it is being trained: its own loggers write there."""
    if loggers:
        return logs.add_figures(loggers, metrics, run)
    try:
        with claimed(run.folder, wait=_PATIENCE):
            logs.add_figures(loggers := logs.loggers_of(run), metrics, run)
            logs.end(loggers)
    except FolderError as error:
        rank_zero_warn(f"the figures are not added to those of the run: {error}")


def _confine(cfg: DictConfig, folder: Path) -> None:
    """Where the config of another run has a say, write nowhere but here and where the user has said."""
    if cfg.resume and not cfg.trust:
        confine(Path.cwd(), folder, foreign=[folder])
    elif cfg.tokenizer and not cfg.trust:
        confine(Path.cwd(), folder, Path(cfg.data_dir), Path(cfg.data.cache), foreign=[Path(cfg.tokenizer)])
    else:
        confine()


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain containers, every reference resolved."""
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def root_device(config: Mapping[str, Any]) -> torch.device:
    """Where this process will train, asked of a trainer that is thrown away: `hardware`, its strategy, its rank."""
    with tuning.silence():
        trainer = build(config["trainer"], "trainer", **tuning.THROWN_AWAY)
    processes.check(trainer, config["hardware"])
    return trainer.strategy.root_device


@rank_zero_only
def _write_configs(config: dict[str, Any], composed: DictConfig, folder: Path) -> None:
    """The config as it is, resolved, and as it was composed, from which a run is resumed."""
    for name, content in (("config.yaml", OmegaConf.create(config)), (COMPOSED, composed)):
        with replacing(folder / name) as part:
            OmegaConf.save(content, part)


def _tune(cfg: DictConfig, composed: DictConfig, source: Source, folder: Path) -> None:
    """Put what the searches of `cfg.tune` find into the configs, as if it had been typed."""
    config = plain(cfg)
    searches = {name: build(node, f"tune.{name}") for name, node in (config["tune"] or {}).items()}

    def model() -> Any:
        made = build(config["model"], "model")
        place(made, config["hardware"])
        return made

    trainer = functools.partial(build, config["trainer"], "trainer")
    for found in tuning.search(searches, trainer, model, source.data, folder):
        for one in (cfg, composed):
            OmegaConf.update(one, found.key, found.value)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)


def _check_fits(model: Any, resumed: Run | None) -> None:
    """Raise ConfigError where the sizes of a resumed run's model were changed."""
    if resumed is None or not resumed.has_weights:
        return
    weights = dict(resumed.contents["state_dict"])
    try:
        model.load_state_dict(weights)   # a network of an older version may be built without a part of today's
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


def place(model: Any, hardware: Mapping[str, Any]) -> None:
    """Memory layout and compilation, as the hardware config asks."""
    if hardware["channels_last"]:
        model.to(memory_format=torch.channels_last)
    if hardware["compile"]:
        for network in model.children():
            network.compile()


def make_callbacks(config: dict[str, Any], source: Source, folder: Path) -> list[pl.Callback]:
    """The configured callbacks, and the record that makes a checkpoint rebuild itself."""
    callbacks: list[pl.Callback] = [Record(config, source.lineage, source.record)]
    runtime = {
        "decode": source.tokenizer and source.tokenizer.decode,
        "trained": functools.partial(in_training, config=config, folder=folder, source=source),
    }
    for key, node in (config["callbacks"] or {}).items():
        if not config["logger"] and node["_target_"] in NEED_LOGGER:
            continue
        wanted = signature_at(f"callbacks.{key}._target_", node["_target_"]).parameters.keys() & runtime.keys()
        callbacks.append(build(node, f"callbacks.{key}", **{name: runtime[name] for name in wanted}))
    return sorted(callbacks, key=lambda callback: isinstance(callback, AveragedWeights))   # after those that draw


def _checkpoint_of(resumed: Run | None) -> str | None:
    """The file to go on from; None for a run that begins."""
    return str(resumed.file) if resumed and resumed.has_weights else None


def _finish(trainer: Any, model: Any, source: Source, folder: Path) -> float | None:
    """Test the best weights, say what came out and what one may do next; returns the best validation loss."""
    best = trainer.checkpoint_callback
    path = getattr(best, "best_model_path", "")
    if not path:
        validated = any(key.startswith("val/") for key in trainer.callback_metrics)
        reason = "ended before its first validation" if not validated else "callbacks.best has kept nothing"
        reason = "trainer.fast_dev_run keeps nothing" if trainer.fast_dev_run else reason
        rank_zero_info(f"\nRun folder: {_shown(folder)}   ({reason}: no best.ckpt, no test)")
        return None
    tested = trainer.test(model, source.data, ckpt_path=path, weights_only=True, verbose=False)
    results: dict[str, float] = tested[0] if tested else {}
    shown = _shown(folder)
    rank_zero_info(f"\nRun folder: {shown}   (pictures in images/, every figure in metrics.csv)")
    rank_zero_info("Test: " + "  ".join(f"{key.removeprefix('test/')} {value:.4g}" for key, value in results.items()))
    if isinstance(model, Tokenizer):
        rank_zero_info(f"Next: {command('train', 'model=gated_pixelcnn', tokenizer=shown)}")
    elif isinstance(model, Prior):
        rank_zero_info(f"Next: {command('sample', run=shown)}")
    return None if best.best_model_score is None else float(best.best_model_score)


def quiet() -> None:
    """Leave out warnings and notes that tell the user nothing to act on."""
    for message in (".*does not have many workers.*", ".*LeafSpec.*", ".*TreeSpec.*", ".*is not empty.*"):
        warnings.filterwarnings("ignore", message)
    noise = ("litlogger", "TPU available", "estimate number of stepping batches")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: not any(words in record.getMessage() for words in noise)
    )
