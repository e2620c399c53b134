"""Runs in MLflow: in a database of this machine, or on a server."""

import logging
import os
import re
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from PIL import Image
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from vqgen.environment.extras import require_extra
from vqgen.errors import ConfigError, first_line
from vqgen.logging.row_logger import RowLogger
from vqgen.plain import PlainDict
from vqgen.runs.version import code_version

_ID = "vqgen.id"  # tag by which a run is found again
_PICTURE = re.compile(r"images/(?P<key>.+)[+%]step[+%](?P<step>\d+)[+%].*\.(png|webp)")  # as the client names them
_AT_ONCE, _LONGEST = 100, 6000  # parameters of a request, letters of a value


class MLflow(RowLogger):
    """MLflow, where MLFLOW_TRACKING_URI says, or else in mlflow.db and mlruns/ of the current folder.

    A resumed run goes on in the same MLflow run. What the database has of later steps is deleted there; a server knows
    no such thing, so that points and pictures which it has stay, and are not sent twice. Where the server is lost in
    the middle of a training, the training goes on, and its rows are sent when the run goes on.

    Ours, as Lightning's MLFlowLogger knows no pictures, doubles what is logged again, fails where a parameter has
    changed, and writes into files that MLflow reads no more.

    Args:
        save_dir: the run folder.
        project: MLflow experiment.
        name: of the MLflow run; null: that of the run folder.
        group: tag `group`, such as a sweep.
        id: tag `vqgen.id`, by which the run is found again; null makes a new one, which is kept in the run's config.
        tags: labels of the run: tags of the value `true`.
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
        require_extra("mlflow", "logger=mlflow")
        super().__init__(save_dir, "mlflow")
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        self.project, self._name, self._id = project, name or Path(save_dir).name, id or secrets.token_hex(4)
        self._tags = dict.fromkeys(tags or [], "true") | ({"group": group} if group else {})
        self._client: Any = None
        self._run_id = ""
        self._known: set[tuple[str, int]] = set()  # points and pictures, by key and step, that are not sent again
        self._is_lost = False

    @property
    def name(self) -> str:
        """The MLflow experiment."""
        return self.project

    @property
    def version(self) -> str:
        """The id of the MLflow run, which is begun."""
        return str(self._run_id) if self.experiment else ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client; the run is found, or begun, when it is first asked for."""
        if self._client is None:
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 14 seconds; its own 7 take minutes
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
            try:
                client = MlflowClient(self.uri)
                self._run_id = self._found(client) or self._begun(client)
            except (MlflowException, OSError) as error:
                raise ConfigError(
                    f"MLflow: {self.uri}: {first_line(error)}; MLFLOW_TRACKING_URI names another place"
                ) from error
            self._client = client
        return self._client

    def _found(self, client: Any) -> str | None:
        """The run with our tag, which goes on."""
        experiment = client.get_experiment_by_name(self.project)
        if not experiment:
            return None
        for run in client.search_runs([experiment.experiment_id], f"tags.`{_ID}` = '{self._id}'", max_results=1):
            client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        return None

    def _begun(self, client: Any) -> str:
        """A new run, with what MLflow notes of the program and its version."""
        from mlflow.tracking.context.registry import resolve_tags

        found = client.get_experiment_by_name(self.project)
        experiment = found.experiment_id if found else client.create_experiment(self.project)
        tags = resolve_tags({**self._tags, _ID: self._id})
        return str(client.create_run(experiment, tags=tags, run_name=self._name).info.run_id)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, object]) -> None:
        """The run's config as parameters and as config.yaml, and the version of the code.

        A parameter cannot change in MLflow: one that a resumed run has changed becomes a tag.
        """
        values = {key: str(value)[:_LONGEST] for key, value in _leaves({**params, "code_version": code_version()})}
        there = self.experiment.get_run(self._run_id).data.params
        self._log_params({key: value for key, value in values.items() if key not in there})
        for key, value in values.items():
            if there.get(key, value) != value:
                self.experiment.set_tag(self._run_id, key, value)
        self.experiment.log_text(self._run_id, yaml.safe_dump(dict(params), sort_keys=False), "config.yaml")

    def _log_params(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(params), _AT_ONCE):
            self.experiment.log_batch(self._run_id, params=params[start : start + _AT_ONCE], synchronous=True)

    @rank_zero_only
    def rewind(self, step: int, row: int) -> None:
        """Go on after the first `row` rows, of which those are sent that MLflow lacks; drop what is of later steps."""
        keys = set(self.experiment.get_run(self._run_id).data.metrics)
        if (file := _database(self.uri)) is not None:
            _drop(file, self._run_id, step)
        self._known = set(self._points(keys)) | set(self._shown(step))
        super().rewind(step, row)
        self._known = {(key, of) for key, of in self._known if of >= step}
        if self._known:
            rank_zero_warn(f"MLflow: {self.uri} cannot go back: what it has of later steps than {step} stays")

    def _points(self, keys: set[str]) -> Iterator[tuple[str, int]]:
        for key in sorted(keys):
            yield from ((key, point.step) for point in self.experiment.get_metric_history(self._run_id, key))

    def _shown(self, step: int) -> Iterator[tuple[str, int]]:
        """Key and step of the pictures that are there; those from `step` on are deleted where they are files."""
        folder = self.experiment.get_run(self._run_id).info.artifact_uri
        for path in [artifact.path for artifact in self.experiment.list_artifacts(self._run_id, "images")]:
            if found := _PICTURE.fullmatch(path):
                file = Path(urlsplit(folder).path, path)
                if int(found["step"]) >= step and file.is_file():
                    file.unlink()
                else:
                    yield re.sub("[~#]", "/", found["key"]), int(found["step"])

    def give(self, entry: PlainDict, number: int) -> None:
        """Points and pictures at the row's step, but for those that MLflow has."""
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        step, now = entry["step"], int(time.time() * 1000)
        values = {key: value for key, value in entry.get("metrics", {}).items() if not self._is_known(key, step)}
        if self._is_lost:
            return
        try:
            points = [Metric(key, value, now, step) for key, value in values.items()]
            self.experiment.log_batch(self._run_id, metrics=points, synchronous=True)
            for key, files in self.pictures(entry).items():
                for file in files if not self._is_known(key, step) else ():
                    image = Image.open(file).convert("RGB")
                    self.experiment.log_image(self._run_id, image, key=key, step=step, synchronous=True)
        except (MlflowException, OSError) as error:
            self._is_lost = True
            rank_zero_warn(
                f"MLflow: {self.uri}: {first_line(error)}; the run goes on without it, and what it logs from here on "
                f"is kept in '{self.journal.file}' and sent when the run is resumed"
            )

    def _is_known(self, key: str, step: int) -> bool:
        return (key, step) in self._known

    @rank_zero_only
    def close(self) -> None:
        """End the MLflow run; an exception on its way out marks it as failed."""
        if self._client is not None and not self._is_lost:
            self._client.set_terminated(self._run_id, "FAILED" if sys.exc_info()[0] else "FINISHED")


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Key and value of every option, keys as one types them: `optim.lr`."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _database(uri: str) -> str | None:
    """The file of an SQLite database; None of another store."""
    kind, _, file = uri.partition(":///")
    return file if kind == "sqlite" else None


def _drop(file: str, run_id: str, step: int) -> None:
    """Delete a run's points from `step` on, in MLflow's tables `metrics` and `latest_metrics`; its client cannot."""
    with closing(sqlite3.connect(file, timeout=60)) as database, database:
        for table in ("metrics", "latest_metrics"):
            database.execute(f"DELETE FROM {table} WHERE run_uuid = ? AND step >= ?", (run_id, min(step, 2**62)))
        database.execute(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "SELECT key, value, max(timestamp), step, is_nan, run_uuid FROM metrics AS m WHERE run_uuid = :run "
            "AND step = (SELECT max(step) FROM metrics WHERE run_uuid = m.run_uuid AND key = m.key) "
            "AND key NOT IN (SELECT key FROM latest_metrics WHERE run_uuid = :run) GROUP BY key",
            {"run": run_id},
        )
