"""The loggers of a run: built, rewound to where a resumed run stands, and added to by the tasks."""

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn
from torch import nn

from vqgen.environment.extras import require_extra
from vqgen.errors import ConfigError
from vqgen.logging.protocols import ArtifactLogger, ImageLogger, RewindableLogger
from vqgen.logging.row_logger import RowLogger
from vqgen.logging.wandb_mode import read_settings
from vqgen.plain import PlainDict
from vqgen.protocols import Classifier, Prior, Tokenizer
from vqgen.runs.allow_list import refuse_foreign, refuse_links
from vqgen.runs.checkpoint import Run, build, module_of, open_run
from vqgen.runs.fingerprint import fingerprint

WANDB = "vqgen.logging.Wandb"
TRACKERS = (WANDB, "vqgen.logging.MLflow", "vqgen.logging.Trackio")
EXTRAS = {f"vqgen.logging.{name}": name.lower() for name in ("TensorBoard", "MLflow", "Trackio")}
_PLACES = ("metrics.csv", "wandb", *EXTRAS.values())  # in a run folder, that loggers write to


def name_run(cfg: DictConfig, in_sweep: bool = False) -> None:
    """Write the run's id and names for its trackers into the config, for this start and each time that it is resumed.

    Its id, where it has none, is a new one, for W&B that of WANDB_RUN_ID (as a W&B sweep says) where that names one run
    and no jobs; a name gets the job's added. References to variables of the environment are replaced by their values.

    Raises:
        ConfigError: a variable of W&B has a value that is none, or a logger is not installed.
    """
    for node in (cfg.logger or {}).values():
        if (kind := node["_target_"]) in EXTRAS:
            require_extra(EXTRAS[kind], f"logger={EXTRAS[kind]}")
        if kind not in TRACKERS:
            continue
        if kind == WANDB:
            read_settings()
        if node.get("id") is None:
            named = os.environ.get("WANDB_RUN_ID") if kind == WANDB and not in_sweep else None
            node["id"] = named or secrets.token_hex(4)
            if in_sweep and node.get("name"):
                node["name"] = f"{node['name']}-{Path(cfg.run_dir).name}"
        for key in {"name", "group"} & set(node):
            node[key] = node[key]
    cfg.project = cfg.project


def make_loggers(config: PlainDict, resumed: Run | None) -> list[Logger]:
    """The configured loggers, rewound to where the resumed run stands."""
    loggers: list[Logger] = [build(node, f"logger.{name}") for name, node in (config["logger"] or {}).items()]
    step = resumed.contents["global_step"] if resumed else 0
    rows = resumed.contents["vqgen"]["logged_rows"] if resumed and "vqgen" in resumed.contents else {}
    for logger in loggers:
        if isinstance(logger, RewindableLogger):
            logger.rewind(step, rows.get(type(logger).__name__, 0))
        elif resumed:
            rank_zero_warn(f"{type(logger).__name__} cannot go back: what it has of later steps than {step} stays")
        logger.log_hyperparams(config)
    return loggers


@rank_zero_only
def upload(trainer: pl.Trainer, lineage: Mapping[str, str] | None) -> None:
    """Give the best checkpoint to the loggers that keep artifacts, linked to the tokenizer of a prior."""
    used = [f"tokenizer-{lineage['fingerprint']}"] if lineage else []
    for logger in trainer.loggers:
        if isinstance(logger, ArtifactLogger) and logger.artifacts:
            best = Path(getattr(trainer.checkpoint_callback, "best_model_path", ""))
            logger.log_files([best], _artifact_name(module_of(open_run(best))), "model", {}, used)


def _artifact_name(model: nn.Module) -> str:
    """What a model's checkpoint is called among W&B's artifacts: its kind, and its fingerprint."""
    kinds = [kind.__name__ for kind in (Tokenizer, Prior, Classifier) if isinstance(model, kind)]
    return f"{[*kinds, type(model).__name__][0].lower()}-{fingerprint(model)}"


def add_results(
    loggers: Sequence[Logger], files: Sequence[Path], task: str, options: Mapping[str, object], runs: Sequence[Run]
) -> None:
    """Give pictures of a task to loggers, and all that it wrote to those that keep artifacts, linked to the runs'."""
    for logger in loggers:
        for path in files:
            if path.suffix == ".png" and isinstance(logger, ImageLogger):
                logger.log_image(key=f"{task}/{path.stem}", images=[str(path)])
        if isinstance(logger, ArtifactLogger) and logger.artifacts:
            used = [_artifact_name(module_of(run)) for run in runs]
            logger.log_files(files, f"{task}-{used[0].rpartition('-')[2]}", "samples", options, used)


def add_figures(loggers: Sequence[Logger], metrics: dict[str, float], run: Run) -> None:
    """Add figures to those of the run."""
    for logger in loggers:
        logger.log_metrics(metrics, step=run.contents["global_step"])
        logger.save()


def end(loggers: Sequence[Logger]) -> None:
    """Write what is left, and end the runs of trackers."""
    for logger in loggers:
        logger.finalize("success")
        if isinstance(logger, RowLogger):
            logger.close()


def refuse_linked(folder: Path) -> None:
    """Raise CheckpointError where what loggers write in a run folder is a link that leads out of it."""
    for name in _PLACES:
        refuse_links(folder / name, folder, "; out=FOLDER leaves the logs alone")


def loggers_of(run: Run, images: bool = False) -> list[Logger]:
    """Our loggers of a run, at its end; they write into its folder, wherever it is now.

    Raises:
        ConfigError: `images` are to be shown, and the run has no logger that shows them.
    """
    nodes = run.config["logger"] or {}
    refuse_foreign(nodes, run.file, "logger")
    ours = [dict(n) for n in nodes.values() if isinstance(n, Mapping) and n["_target_"].startswith("vqgen.")]
    loggers: list[Logger] = []
    for node in ours:
        try:
            logger: Logger = build(node | {"save_dir": str(run.folder)})
            if isinstance(logger, RewindableLogger):
                logger.rewind(sys.maxsize, sys.maxsize)  # to its end: all that is there stays
            logger.log_hyperparams(run.config)
            loggers.append(logger)
        except ConfigError as error:  # a tracker that is not installed here, or cannot be reached
            if images:
                raise
            rank_zero_warn(f"the figures are not added there: {error}")
    if images and not any(isinstance(logger, ImageLogger) for logger in loggers):
        raise ConfigError(f"log=true: '{run.folder}' was trained without a logger that shows images, such as W&B")
    return loggers
