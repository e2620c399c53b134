"""Runs in Trackio: in a folder of this machine, or on a Hugging Face Space."""

import io
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from vqgen.environment.extras import require_extra
from vqgen.errors import ConfigError, first_line
from vqgen.logging.row_logger import RowLogger, pooled
from vqgen.plain import PlainDict
from vqgen.runs.version import code_version

_FOLDER = "trackio-runs"  # of the current one; `trackio` would stand before the package


class Trackio(RowLogger):
    """Trackio, in the folder that TRACKIO_DIR says, or else in trackio-runs/ of the current one.

    Trackio cannot take back single rows. So where it has rows that a resumed run will make again, its run is deleted,
    and made again of those before: the same name and id, new time stamps. On a Space or a server of one's own
    (TRACKIO_SPACE_ID, TRACKIO_SERVER_URL) nothing can be deleted: what it has of later steps stays, which a line says.

    Args:
        save_dir: the run folder.
        project: Trackio project.
        name: of the run; null: that of the run folder.
        group: Trackio's group of the run, such as a sweep.
        id: of the run; null makes a new one, which is kept in the run's config.
        tags: labels of the run, in its config.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        name: str | None = None,
        group: str | None = None,
        id: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        require_extra("trackio", "logger=trackio")
        super().__init__(save_dir, "trackio")
        self.project, self._name = project, re.sub(r"^\.+|[/\\]", "-", name or Path(save_dir).name)  # a folder's, too
        self._group, self._id, self._tags = group, id or secrets.token_hex(4), tags or []
        self._run: Any = None
        self._config: PlainDict = {}
        self._again: list[PlainDict] = []  # rows to be sent once the config is known

    @property
    def name(self) -> str:
        """The Trackio project."""
        return self.project

    @property
    def version(self) -> str:
        """The id of the run."""
        return self._id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's run, begun when it is first asked for."""
        if self._run is None:
            trackio = _trackio()
            quiet = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
            try:
                with redirect_stdout(io.StringIO()):
                    self._run = trackio.init(self.project, self._name, self._group, config=self._config, **quiet)
            except (ValueError, OSError) as error:  # the project's name, the account of a Space, the folder
                raise ConfigError(f"Trackio: {first_line(error)}") from error
            self._run.id = self._id  # its own choice would be another each time
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, object]) -> None:
        """The run's config, its tags, and the version of the code."""
        self._config = {**params, "tags": self._tags, "code_version": code_version()}
        again, self._again = self._again, []
        for entry in again:
            self.send(entry)

    @rank_zero_only
    def log_code_counts(self, key: str, counts: Sequence[int], step: int) -> None:
        """Log how often each code occurs, the most frequent first."""
        self.add({"step": step, "counts": {key: sorted(counts, reverse=True)}})

    @rank_zero_only
    def rewind(self, step: int, row: int) -> None:
        """Go on after the first `row` rows; those that Trackio lacks are sent with the config."""
        kept = self.journal.keep(row)
        there = self._steps_there(kept, step)
        if there != [entry["step"] for entry in kept[: len(there)]] and (kept or row == 0):
            self._delete()
            there = []
        for entry in kept[: len(there)]:
            self.count(entry)
        self._again = kept[len(there) :]

    def _steps_there(self, kept: Sequence[PlainDict], step: int) -> list[int]:
        """The step of each row that Trackio has of the run: all that it should have where that is not known."""
        trackio = _trackio()
        is_elsewhere = any(trackio.utils.resolve_space_id_and_server_url(None, None))
        if is_elsewhere or trackio.utils.get_storage_mode() != "sqlite":
            if kept:
                rank_zero_warn(f"Trackio cannot go back there: what it has of later steps than {step} stays")
            return [entry["step"] for entry in kept]
        return [row["step"] for row in self._stored()]

    def _stored(self) -> list[PlainDict]:
        rows: list[PlainDict] = _trackio().SQLiteStorage.get_logs(self.project, self._name, run_id=self._id)
        return rows

    def _delete(self) -> None:
        """Take the run, with its pictures, out of the project."""
        trackio = _trackio()
        for value in [value for row in self._stored() for value in row.values() if isinstance(value, dict)]:
            if "file_path" in value:
                (trackio.utils.MEDIA_DIR / value["file_path"]).unlink(missing_ok=True)
        trackio.SQLiteStorage.delete_run(self.project, self._name, run_id=self._id)

    def give(self, entry: PlainDict, number: int) -> None:
        """A row of numbers, pictures and histograms at its step."""
        trackio = _trackio()
        values: PlainDict = dict(entry.get("metrics", {}))
        for key, files in self.pictures(entry).items():
            several = len(files) > 1
            values |= {f"{key}_{i}" if several else key: trackio.Image(file) for i, file in enumerate(files)}
        counts = entry.get("counts", {})
        values |= {key: trackio.Histogram(np_histogram=pooled(of_codes)) for key, of_codes in counts.items()}
        self.experiment.log(values, step=max(0, entry["step"]))

    @rank_zero_only
    def close(self) -> None:
        """Write what is left, and end the run."""
        if self._run is not None:
            with redirect_stdout(io.StringIO()):
                _trackio().finish()
            self._run = None


def _trackio() -> Any:
    """The package, which reads TRACKIO_DIR when it is imported."""
    os.environ.setdefault("TRACKIO_DIR", str(Path.cwd() / _FOLDER))
    import trackio

    return trackio
