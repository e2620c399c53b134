"""Loggers that a resumed run goes on with as if it had not been interrupted: CSV, W&B, TensorBoard."""

import csv
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn

from vqgen.errors import ConfigError, first_line
from vqgen.logging.journal import whole_lines
from vqgen.logging.row_logger import RowLogger, pooled
from vqgen.logging.wandb_mode import Mode, wandb_mode
from vqgen.plain import PlainDict
from vqgen.runs.atomic import replacing
from vqgen.runs.version import code_version

_FLUSHED = 100  # steps between two writings of metrics.csv


class CSV(Logger):
    """`metrics.csv` in the run folder; a resumed run goes on at its checkpoint's step.

    Ours, as Lightning's CSVLogger deletes the file that it finds, and is not whole where a kill meets a new column.

    Args:
        save_dir: the run folder.
    """

    name, version = "csv", ""  # abstract in Lightning

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self._file = Path(save_dir, "metrics.csv")
        self._rows: list[Mapping[str, object]] = []  # not yet written
        self._columns: list[str] = []  # of the file; none: it is to be written anew

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self._file.parent)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep a row for optimiser step `step`; every so many steps the file is written."""
        self._rows.append({name: float(value) for name, value in metrics.items()} | {"step": step})
        if ((step or 0) + 1) % _FLUSHED == 0:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the rows; where they have new columns, the file is replaced."""
        rows, self._rows = self._rows, []
        columns = sorted({*self._columns, *chain(*rows)})
        if rows and columns != self._columns:
            before = _read_rows(self._file) if self._columns else []
            self._columns = columns
            _write_rows(self._file, columns, [*before, *rows])
        elif rows:
            with self._file.open("a", newline="") as lines:
                csv.DictWriter(lines, columns).writerows(rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()

    def log_hyperparams(self, params: object = None) -> None:
        """Nothing: the run folder has its config.yaml."""

    @rank_zero_only
    def rewind(self, step: int, row: int) -> None:
        """Drop the rows that were written after `step` optimiser steps: they will be made again."""
        if self._file.exists():
            rows = [row for row in _read_rows(self._file) if row.get("step", "").isdigit() and int(row["step"]) < step]
            self._columns = sorted({key for row in rows for key, value in row.items() if value})
            _write_rows(self._file, self._columns, rows)


def _read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a file, without the one that a kill cut short."""
    return [{key: value or "" for key, value in row.items()} for row in csv.DictReader(whole_lines(file))]


def _write_rows(file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Replace a file by these rows, or remove it where there are none."""
    if not rows:
        file.unlink()
        return
    with replacing(file) as part, part.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


class Wandb(RowLogger, WandbLogger):  # type: ignore[misc]  # log_image of ours
    """Weights & Biases: online where the client has credentials, otherwise offline, without a question.

    Every row has a number, and is kept in wandb/rows.jsonl as well. A resumed run sends the rows before its checkpoint
    again and goes on counting: online W&B ignores the rows that it has, offline the last part of the run is whole but
    for pictures that are no longer in the run folder. Where W&B cannot be reached, the run goes on offline.

    Args:
        save_dir: the run folder.
        project: W&B project.
        name: of the W&B run; null: that of the run folder.
        group: W&B group of the run, such as a sweep.
        id: of the W&B run; null makes a new one, which is kept in the run's config.
        tags: labels of the run.
        artifacts: upload the best checkpoint when the run ends, linked to the tokenizer that it was trained on.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        name: str | None = None,
        group: str | None = None,
        id: str | None = None,
        tags: list[str] | None = None,
        artifacts: bool = False,
    ) -> None:
        first = getattr(rank_zero_only, "rank", 0) == 0  # the only one that logs
        mode, reason = wandb_mode() if first else Mode("offline", None)
        if reason:
            rank_zero_info(f"W&B: {mode.replace('dryrun', 'offline')} ({reason})")
        super().__init__(save_dir, "wandb", save_dir=save_dir, project=project, id=id)
        self._settings: PlainDict = {
            "name": name or Path(save_dir).name,
            "project": project,
            "dir": save_dir,
            "id": id,
            "resume": "allow",
            "group": group,
            "tags": tags or None,
            "mode": mode,
        }
        self._run: Any = None
        self.artifacts = artifacts

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, begun when it is first asked for; offline where it cannot begin otherwise."""
        import wandb

        if self._run is None:
            try:
                self._run = wandb.init(**self._settings)
            except wandb.errors.Error as error:
                reason = first_line(error)
                if self._settings["mode"] == "offline":
                    raise ConfigError(f"W&B: {reason}") from error
                rank_zero_warn(f"W&B cannot be used online ({reason}); the run is kept offline: wandb sync sends it")
                wandb.teardown()
                self._settings["mode"] = "offline"
                self._run = wandb.init(**self._settings)
            self._run.define_metric("trainer/global_step")  # the horizontal axis
            self._run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, object]) -> None:
        """The run's config, and the version of the code."""
        super().log_hyperparams({**params, "code_version": code_version()})

    @rank_zero_only
    def log_code_counts(self, key: str, counts: Sequence[int], step: int) -> None:
        """Log how often each code occurs, the most frequent first."""
        self.add({"step": step, "counts": {key: sorted(counts, reverse=True)}})

    def give(self, entry: PlainDict, number: int) -> None:
        """A row of numbers, pictures and histograms; W&B ignores one whose number it has."""
        import wandb

        values = {"trainer/global_step": entry["step"], **entry.get("metrics", {})}
        values |= {key: [wandb.Image(file) for file in files] for key, files in self.pictures(entry).items()}
        counts = entry.get("counts", {})
        values |= {key: wandb.Histogram(np_histogram=pooled(of_codes)) for key, of_codes in counts.items()}
        self.experiment.log(values, step=number, commit=True)

    @rank_zero_only
    def close(self) -> None:
        """End the W&B run; an exception on its way out marks it as failed."""
        if self._run is not None:
            self._run.finish(exit_code=int(sys.exc_info()[0] is not None))

    @rank_zero_only
    def log_files(
        self, files: Sequence[Path], name: str, kind: str, facts: Mapping[str, object], used: Sequence[str]
    ) -> None:
        """Upload files as an artifact; `used` are links, and facts, as offline W&B knows no others."""
        import wandb

        for parent in used if not self.experiment.offline else ():
            self.experiment.use_artifact(f"{parent}:latest")
        artifact = wandb.Artifact(name, type=kind, metadata={**facts, "used": list(used)})
        for file in files:
            artifact.add_file(str(file))
        self.experiment.log_artifact(artifact)


class TensorBoard(TensorBoardLogger):
    """TensorBoard files in `tensorboard/` of the run folder; `tensorboard --logdir runs` shows them.

    Args:
        save_dir: the run folder.
    """

    def __init__(self, save_dir: str) -> None:
        self._options: PlainDict = {"name": "tensorboard", "version": "", "default_hp_metric": False}
        super().__init__(save_dir, **self._options)

    def rewind(self, step: int, row: int) -> None:
        """Tell TensorBoard to drop what was written after `step` optimiser steps."""
        super().__init__(self.save_dir, **self._options, purge_step=step)

    @rank_zero_only
    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Log pictures, given as files."""
        for file in images:
            self.experiment.add_image(key, np.asarray(Image.open(file).convert("RGB")), step, dataformats="HWC")

    @rank_zero_only
    def log_code_counts(self, key: str, counts: Sequence[int], step: int) -> None:
        """Log how often each code occurs, the most frequent first."""
        ordered = np.array(sorted(counts, reverse=True))
        codes = np.arange(len(ordered))
        self.experiment.add_histogram_raw(
            key,
            min=0,
            max=len(codes) - 1,
            num=int(ordered.sum()),
            sum=float((ordered * codes).sum()),
            sum_squares=float((ordered * codes**2).sum()),
            bucket_limits=(codes + 0.5).tolist(),
            bucket_counts=ordered.tolist(),
            global_step=step,
        )
