"""Where configuration becomes objects: train(cfg) makes a run, sample(cfg) uses one."""

import functools
import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from vqgen.config.arguments import signature_at
from vqgen.config.check import SAMPLING
from vqgen.config.resolvers import resumed_words, sweep_name, typed_words
from vqgen.data.loading.loader import DataModule
from vqgen.devices import device_of
from vqgen.environment.faults import told, within_memory
from vqgen.environment.hydra_versions import allowing
from vqgen.errors import FolderError, UserError
from vqgen.logging import of_run as logs
from vqgen.logging.row_logger import RowLogger
from vqgen.plain import PlainDict
from vqgen.runs.allow_list import named, refuse_foreign_config, refuse_foreign_writing
from vqgen.runs.atomic import replacing
from vqgen.runs.checkpoint import Run, build, open_last, open_run
from vqgen.runs.checkpoint_io import WholeCheckpointIO
from vqgen.runs.claim import claimed
from vqgen.runs.confine import confine
from vqgen.runs.folders import COMPOSED, find_runs, located, output_base
from vqgen.runs.job import Sweep
from vqgen.runs.opening import open_trained, trained
from vqgen.runs.sweep import sweep_at
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.results import results_folder
from vqgen.tasks.task import Task
from vqgen.training.messages import quiet, tell_no_best, tell_no_step, tell_results
from vqgen.training.perceptual import network_of
from vqgen.training.preparation import machine_of, make_callbacks, make_model, tuned
from vqgen.training.processes import of_one_run
from vqgen.training.pruning import is_pruned, raise_pruned
from vqgen.training.source import open_source

torch.set_float32_matmul_precision("high")
_PATIENCE = 20.0  # seconds that another evaluation of the run may take to add its figures
_MOST_LINES = 20  # files of a task that are named one by one


def train(cfg: DictConfig, folder: Path) -> float | None:
    """Train the configured model, or resume `cfg.resume`.

    Args:
        cfg: a checked config (of a resumed run: its own).
        folder: where the run goes.

    Returns:
        The best value of the monitored metric, for a sweep to minimise.
    """
    resumed = open_last(cfg.resume) if cfg.resume else None
    cfg.run_dir = _shown(folder)
    logs.name_run(cfg, in_sweep=sweep_name() is not None)
    composed = cfg.copy()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    quiet()

    refuse_foreign_config(plain(cfg), resumed.file if resumed else None)
    if resumed:
        refuse_foreign_writing(plain(cfg), resumed.file, folder)
    _confine(cfg, folder)
    machine = machine_of(plain(cfg))
    if cfg.hardware.channels_last is None:
        cfg.hardware.channels_last = machine.device.type == "cpu" and not cfg.tokenizer
    source = open_source(plain(cfg), folder, machine, resumed)
    cfg.facts = {**cfg.facts, **source.facts}
    if cfg.get("perceptual"):
        OmegaConf.update(cfg, "model.likelihood.network", network_of(cfg.perceptual, resumed), force_add=True)
    if not resumed:
        for found in tuned(plain(cfg), source.data, folder):  # as if it had been typed
            OmegaConf.update(cfg, found.key, found.value)
            OmegaConf.update(composed, found.key, found.value)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)

    config = plain(cfg)
    model = make_model(config, resumed)
    write = functools.partial(_write_configs, config, composed, folder)
    if not resumed:
        write()  # a resumed run writes when it trains: changes that cannot be made are not kept
    loggers = logs.make_loggers(config, resumed)
    words = [*resumed.words, *resumed_words()] if resumed else typed_words()
    callbacks = make_callbacks(config, source, folder, words)
    trainer = build(
        config["trainer"],
        "trainer",
        callbacks=[*callbacks, LambdaCallback(on_train_start=lambda *_: write())],
        logger=loggers,
        plugins=[WholeCheckpointIO()],
        default_root_dir=str(folder),
    )
    checkpoint = str(resumed.file) if resumed and resumed.has_weights else None
    try:
        with told(config), of_one_run(trainer):
            trainer.fit(model, datamodule=source.data, ckpt_path=checkpoint, weights_only=True)
            if resumed:
                tell_no_step(trainer, resumed.contents["global_step"])
            score = None if is_pruned(trainer) else _test(trainer, model, source.data, folder)
        if score is not None:
            logs.upload(trainer, source.lineage)
        raise_pruned(trainer)
        return score
    finally:
        for logger in loggers:
            if isinstance(logger, RowLogger):
                logger.close()  # the next job of a sweep is another run


def _confine(cfg: DictConfig, folder: Path) -> None:
    """Where a config that another run brings is used, write nowhere but here and where the user has said."""
    if cfg.resume and not cfg.trust:
        confine(Path.cwd(), folder, foreign=[folder])
    elif cfg.tokenizer and not cfg.trust:
        confine(Path.cwd(), folder, Path(cfg.data_dir), Path(cfg.data.cache), foreign=[located(cfg.tokenizer)])
    else:
        confine()


@rank_zero_only
def _write_configs(config: PlainDict, composed: DictConfig, folder: Path) -> None:
    """The config resolved, and as it was composed, from which a run is resumed."""
    for name, content in (("config.yaml", OmegaConf.create(config)), (COMPOSED, composed)):
        with replacing(folder / name) as part:
            OmegaConf.save(content, part)


def _test(trainer: pl.Trainer, model: pl.LightningModule, data: DataModule, folder: Path) -> float | None:
    """Test the best weights and print the results; returns the best validation loss."""
    best = trainer.checkpoint_callback
    path = getattr(best, "best_model_path", "")
    if not path:
        tell_no_best(trainer, _shown(folder))
        return None
    tested = trainer.test(model, data, ckpt_path=path, weights_only=True, verbose=False)
    tell_results(model, tested[0] if tested else {}, _shown(folder))
    score = getattr(best, "best_model_score", None)
    return None if score is None else float(score)


def sample(cfg: DictConfig) -> None:
    """Carry out `cfg.task` on a run, write its pictures and arrays, and print where they are."""
    device = device_of(str(cfg.device))
    if sweep := sweep_at(plain(cfg)["run"]):
        return _sample_of_sweep(cfg, sweep, device)
    runs = [open_run(folder, cfg.checkpoint) for folder in find_runs(cfg.run)]
    folders = [run.folder for run in runs]
    confine(Path.cwd(), *folders, *([Path(cfg.out)] if cfg.out else []), foreign=folders)
    task, options, settings = _task(cfg)
    name = cfg.task.rpartition(".")[2].lower()
    if not cfg.out or cfg.log:
        logs.refuse_linked(runs[0].folder)
    base = output_base(runs[0].folder)

    with claimed(runs[0].folder) if cfg.log else nullcontext():  # a training would write to the same logs
        loggers = logs.loggers_of(runs[0], images=True) if cfg.log else []
        results = results_folder(base, name, cfg.out) if task.writes else nullcontext(base)
        with results as folder, within_memory(_smaller(options)):
            outcome = task(trained(runs, cfg.tokenizer, cfg.data_root, cfg.data_changed, device))
            written = outcome.write(folder, cfg.arrays) if task.writes else []
        _tell(outcome, written, folder)
        drawn = {key: value for key, value in settings.get("sampling", {}).items() if key != "_target_"}
        logs.add_results(loggers, written, name, options | drawn, runs)
        if outcome.metrics and not cfg.out and base == runs[0].folder:
            _add_figures(loggers, outcome.metrics, runs[0])
        logs.end(loggers)


def _sample_of_sweep(cfg: DictConfig, sweep: Sweep, device: torch.device) -> None:
    """The same on a whole sweep; UserError where the task takes single runs."""
    if cfg.log:
        raise UserError(f"log=true: '{sweep.folder}' is a sweep, and has no logger of its own; leave it out")
    confine(Path.cwd(), sweep.folder, *([Path(cfg.out)] if cfg.out else []), foreign=[sweep.folder])
    task, options, _ = _task(cfg)
    settings = {key: cfg[key] for key in ("checkpoint", "tokenizer", "data_root", "data_changed")}
    opened = functools.partial(open_trained, device=device, **settings)
    with results_folder(sweep.folder, cfg.task.rpartition(".")[2].lower(), cfg.out) as folder:
        with within_memory(_smaller(options)):
            outcome = task.of_sweep(sweep, opened)
        _tell(outcome, outcome.write(folder, cfg.arrays), folder)


def _task(cfg: DictConfig) -> tuple[Task, PlainDict, PlainDict]:
    """The task with its options, and these: those of its own, and of drawing."""
    options, settings = _options(cfg)
    chosen = {"_target_": cfg.task, **options, **settings}
    with allowing(named(chosen)):
        return build(chosen, "task"), options, settings


def _smaller(options: PlainDict) -> str:
    """What to make smaller where there is too little memory."""
    asked = (f"{key}={options[key]}" for key in options if re.match("num|batch|side|steps", key))
    return f"smaller {' or '.join(asked)}"


def _tell(outcome: Outcome, written: Sequence[Path], folder: Path) -> None:
    """Print where the files are, and what the task says."""
    shown = written if len(written) <= _MOST_LINES else written[:3]
    more = f"... and {len(written) - len(shown):,} more in {folder}" if len(shown) < len(written) else ""
    for line in filter(None, [*map(str, shown), more, outcome.text]):
        print(line)


def _options(cfg: DictConfig) -> tuple[PlainDict, PlainDict]:
    """The options of a task, and of those that draw its `sampling`, whose settings stand among the options."""
    values, takes = plain(cfg), signature_at("task", cfg.task).parameters
    options = {name: value for name, value in values.items() if name in takes}
    if "sampling" not in takes:
        return options, {}
    settings = {name: values[name] for name in signature_at("sampling", SAMPLING).parameters if name in values}
    return options, {"sampling": {"_target_": SAMPLING, **settings}}


def _add_figures(loggers: Sequence[Logger], metrics: dict[str, float], run: Run) -> None:
    """Add figures to those of the run, unless it is being trained: its own loggers write there."""
    if loggers:
        return logs.add_figures(loggers, metrics, run)
    try:
        with claimed(run.folder, wait=_PATIENCE):
            logs.add_figures(loggers := logs.loggers_of(run), metrics, run)
            logs.end(loggers)
    except FolderError as error:
        rank_zero_warn(f"the figures are not added to those of the run: {error}")


def plain(cfg: DictConfig) -> PlainDict:
    """The config as plain containers, every reference resolved."""
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _shown(path: Path) -> str:
    """A path relative to the working directory, where it is inside."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
