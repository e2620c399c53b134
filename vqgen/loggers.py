"""Loggers: CSV that survives a resume, and W&B that never asks."""

import csv
import netrc
import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities.rank_zero import rank_zero_only


class _Appending(ExperimentWriter):
    """A writer that goes on with the file that is there.

    Args:
        log_dir: the run folder.
        goes_on: with the rows of a resumed run; otherwise what lies there was left by a run that never got far.
    """

    def __init__(self, log_dir: str, goes_on: bool) -> None:
        self.goes_on = goes_on
        super().__init__(log_dir=log_dir)

    def _check_log_dir_exists(self) -> None:
        file = Path(self.log_dir, self.NAME_METRICS_FILE)
        if file.exists() and self.goes_on:
            with file.open(newline="") as lines:
                self.metrics_keys = list(csv.DictReader(lines).fieldnames or [])
        else:
            file.unlink(missing_ok=True)


class CSV(CSVLogger):
    """`metrics.csv` in the run folder; a resumed run goes on at its checkpoint's step.

    Args:
        save_dir: the run folder.
        flush_logs_every_n_steps: rows held in memory before they are written.
    """

    def __init__(self, save_dir: str, flush_logs_every_n_steps: int = 50) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)
        self._goes_on = False

    @property
    def experiment(self) -> Any:
        """The writer (only the first rank's writes)."""
        if getattr(rank_zero_only, "rank", 0) == 0 and self._experiment is None:
            self._experiment = _Appending(self.save_dir, self._goes_on)
        return super().experiment

    def save(self) -> None:
        """Write the rows, and no file of hyperparameters: the run folder has its config.yaml."""
        self.experiment.save()

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop the rows that were written after optimiser step `step`: they will be made again."""
        self._goes_on = True
        file = Path(self.save_dir, ExperimentWriter.NAME_METRICS_FILE)
        if not file.exists():
            return
        with file.open(newline="") as lines:
            reader = csv.DictReader(lines)
            rows = [row for row in reader if int(row["step"]) < step]
        with file.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, reader.fieldnames or [])
            writer.writeheader()
            writer.writerows(rows)


class Wandb(WandbLogger):
    """Weights & Biases: online where credentials are configured, otherwise offline, without a question.

    Args:
        save_dir: the run folder.
        project: W&B project.
        group: W&B group of the run, such as a sweep.
        id: a run id to go on with; None starts a new run.
        tags: labels of the run.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        group: str | None = None,
        id: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        super().__init__(
            name=Path(save_dir).name, save_dir=save_dir, project=project, group=group, id=id, tags=tags,
            mode=wandb_mode(),
        )  # fmt: skip


def wandb_mode() -> str:
    """`online` with credentials (WANDB_API_KEY or a netrc entry), else `offline`; WANDB_MODE has the last word."""
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    return "online" if os.environ.get("WANDB_API_KEY") or _in_netrc() else "offline"


def _in_netrc() -> bool:
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].split("/")[0]
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
