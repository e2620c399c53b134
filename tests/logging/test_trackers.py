"""MLflow and Trackio: what their real clients have of a run, read back from their files."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.conftest import ROOT, Command
from vqgen.environment import extras
from vqgen.errors import ConfigError
from vqgen.logging import MLflow, Trackio
from vqgen.logging.of_run import name_run
from vqgen.logging.row_logger import RowLogger

Points = dict[str, list[tuple[int, float]]]  # by key: step and value; of a picture its size


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that this process works in, with the files of both clients."""
    folder, before = tmp_path_factory.mktemp("trackers"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("TRACKIO_DIR", str(folder / "trackio-runs"))
        os.chdir(folder)
        yield folder
        os.chdir(before)


def mlflow_runs(project: str = "vqgen") -> dict[str, dict[str, Any]]:
    """Points, pictures, tags and parameters of the runs in the current folder's MLflow, by their ids."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(project)
    runs = {}
    for run in client.search_runs([experiment.experiment_id]):
        number = run.info.run_id
        points: Points = {
            key: sorted((p.step, p.value) for p in client.get_metric_history(number, key)) for key in run.data.metrics
        }
        files = [artifact.path for artifact in client.list_artifacts(number, "images")]
        pictures = sorted(path.split("+timestamp")[0] for path in files if path.endswith(".png"))  # small ones as webp
        config = Path(run.info.artifact_uri, "config.yaml").read_text()
        facts = {"name": run.info.run_name, "status": run.info.status, "tags": run.data.tags, "last": run.data.metrics}
        runs[number] = {"points": points, "pictures": pictures, "params": run.data.params, "config": config, **facts}
    return runs


def trackio_runs(project: str = "vqgen") -> dict[str, dict[str, Any]]:
    """The same of Trackio."""
    os.environ.setdefault("TRACKIO_DIR", str(Path.cwd() / "trackio-runs"))
    import trackio

    storage, runs = trackio.SQLiteStorage, {}
    for run in trackio.Api().runs(project) if project in storage.get_projects() else ():
        points: dict[str, list[Any]] = defaultdict(list)
        pictures = []
        for row in storage.get_logs(project, run.name, run_id=run.id):
            for key, value in row.items():
                kind = value.get("_type") if isinstance(value, dict) else None
                if kind == "trackio.image":
                    assert (trackio.utils.MEDIA_DIR / value["file_path"]).is_file()
                    pictures.append((key, row["step"]))
                elif key not in ("step", "timestamp"):
                    points[key].append((row["step"], value["values"] if kind else value))
        runs[run.id] = {"points": dict(points), "pictures": pictures, "config": run.config, "name": run.name}
    return runs


def made(kind: type[RowLogger], folder: Path, **options: Any) -> Any:
    """A logger as a training has it, begun and rewound."""
    step, row = options.pop("rewound", (0, 0))
    logger = kind(str(folder), **({"project": "vqgen", "id": "0a"} | options))
    logger.rewind(step, row)
    logger.log_hyperparams({"model": {"size": 3}, "optim": {"lr": 0.1, "betas": [0.9, 0.99]}})
    return logger


def picture(folder: Path, name: str, size: int = 8) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), 9, np.uint8)).save(folder / name)
    return str(folder / name)


def log(logger: RowLogger, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"train/loss": step / 10, "epoch": step // 2}, step)
        if step % 2:
            logger.log_image("val/samples", [picture(Path(logger.save_dir), f"{step}.png")], step)


@pytest.mark.parametrize(("kind", "read"), [(MLflow, mlflow_runs), (Trackio, trackio_runs)])
def test_a_run_that_was_killed_and_goes_on_is_the_same_run_with_each_point_once(
    kind: type[RowLogger], read: Callable[..., Any], place: Path
):
    pytest.importorskip(kind.__name__.lower())
    for name in ("whole", "killed"):
        folder = place / f"{kind.__name__}-{name}"
        logger = made(kind, folder, project=name, tags=["first"], group="night", name="mine")
        log(logger, range(6))
        if name == "killed":
            rows = logger.rows_before_step  # of step 5, which a checkpoint of after five steps does again
            logger.log_metrics({"train/late": 1.0}, 6)
            logger.close()
            logger = made(kind, folder, project=name, rewound=(5, rows), tags=["first"], group="night", name="mine")
            log(logger, range(5, 6))
        logger.log_metrics({"test/loss": 2.0}, 6)
        logger.close()
    (whole,), (killed,) = read("whole").values(), read("killed").values()
    assert killed["points"] == whole["points"]
    assert [step for step, _ in whole["points"]["train/loss"]] == [*range(6)]
    assert "train/late" not in killed["points"]
    assert killed["pictures"] == whole["pictures"]
    assert len(whole["pictures"]) == 3
    assert whole["name"] == "mine"


def test_mlflow_is_told_the_config_tags_and_the_end(place: Path):
    pytest.importorskip("mlflow")
    logger = made(MLflow, place / "told", project="told", tags=["first"], group="night")
    logger.log_metrics({"val/loss": 0.5}, 3)
    logger.log_metrics({"val/loss": 0.25}, 7)
    with suppress(RuntimeError):
        try:
            raise RuntimeError("of the training")
        finally:
            logger.close()
    (run,) = mlflow_runs("told").values()
    assert run["status"] == "FAILED"
    assert run["params"]["optim.lr"] == "0.1"
    assert run["params"]["optim.betas"] == "[0.9, 0.99]"
    assert "code_version" in run["params"]
    assert OmegaConf.create(run["config"]).model.size == 3
    assert {key: run["tags"][key] for key in ("first", "group", "vqgen.id")} == {
        "first": "true",
        "group": "night",
        "vqgen.id": "0a",
    }
    assert run["last"] == {"val/loss": 0.25}
    again = made(MLflow, place / "told", project="told", rewound=(5, 1))
    again.log_hyperparams({"optim": {"lr": 0.2}})
    (run,) = mlflow_runs("told").values()
    assert run["status"] == "RUNNING"
    assert run["last"] == {"val/loss": 0.5}  # of step 3, as nothing later is there any more
    assert (run["params"]["optim.lr"], run["tags"]["optim.lr"]) == ("0.1", "0.2")
    again.close()


def test_trackio_is_told_the_config_and_counts(place: Path):
    pytest.importorskip("trackio")
    logger = made(Trackio, place / "counts", project="counts", tags=["first"], group="night")
    logger.log_code_counts("val/codes", [1, 5, 3], 2)
    logger.close()
    ((number, run),) = trackio_runs("counts").items()
    assert number == "0a"
    assert run["points"] == {"val/codes": [(2, [5, 3, 1])]}
    assert run["config"]["optim"] == {"lr": 0.1, "betas": [0.9, 0.99]}
    assert run["config"]["tags"] == ["first"]
    assert run["config"]["_Group"] == "night"


@pytest.mark.parametrize(("kind", "read"), [(MLflow, mlflow_runs), (Trackio, trackio_runs)])
def test_rows_that_the_tracker_never_got_are_sent_when_the_run_goes_on(
    kind: type[RowLogger], read: Callable[..., Any], place: Path
):
    """A process that is killed, or a run that is moved to where the tracker does not know it."""
    pytest.importorskip(kind.__name__.lower())
    logger = made(kind, place / f"{kind.__name__}-lost", project="lost")
    log(logger, range(2))
    for step in (2, 3):
        logger.journal.add({"step": step, "metrics": {"train/loss": step / 10, "epoch": 1}})
    logger.close()
    made(kind, place / f"{kind.__name__}-lost", project="lost", rewound=(4, 5)).close()
    made(kind, place / f"{kind.__name__}-lost", project="moved", rewound=(4, 5)).close()
    for project in ("lost", "moved"):
        (run,) = read(project).values()
        assert run["points"]["train/loss"] == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)]
        assert len({*run["pictures"]}) == len(run["pictures"]) >= 1


@pytest.mark.parametrize(("kind", "read"), [(MLflow, mlflow_runs), (Trackio, trackio_runs)])
def test_figures_of_a_later_evaluation_are_added_each_time(
    kind: type[RowLogger], read: Callable[..., Any], place: Path
):
    pytest.importorskip(kind.__name__.lower())
    log(logger := made(kind, place / f"{kind.__name__}-used", project="used"), range(3))
    logger.close()
    for value in (10.0, 8.0):
        logger = made(kind, place / f"{kind.__name__}-used", project="used", rewound=(sys.maxsize, sys.maxsize))
        logger.log_metrics({"test/fid": value}, 3)
        logger.close()
    (run,) = read("used").values()
    assert sorted(value for _, value in run["points"]["test/fid"]) == [8.0, 10.0]
    assert len(run["points"]["train/loss"]) == 3


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://127.0.0.1:9", r"MLflow: http://127.0.0.1:9: API request to .*; MLFLOW_TRACKING_URI names another"),
        ("sqlite:////dev/null/all.db", r"MLflow: sqlite:////dev/null/all.db: .*; MLFLOW_TRACKING_URI names"),
        ("ftp:nothing", r"MLflow: ftp:nothing: .*; MLFLOW_TRACKING_URI names another place"),
    ],
)
def test_an_mlflow_that_cannot_be_used_is_told_in_a_line(
    uri: str, told: str, place: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=told) as raised:
        made(MLflow, place / "run")
    assert "\n" not in str(raised.value)


def test_a_training_goes_on_without_an_mlflow_that_is_lost(place: Path, monkeypatch: pytest.MonkeyPatch):
    mlflow = pytest.importorskip("mlflow")
    logger = made(MLflow, place / "gone", project="gone")

    def refuse(*_: object, **__: object) -> None:
        raise mlflow.exceptions.MlflowException("no route to host\nwhile retrying")

    with monkeypatch.context() as patch:
        patch.setattr(logger.experiment, "log_batch", refuse)
        with pytest.warns(UserWarning, match="no route to host; the run goes on without it, and what it logs from her"):
            log(logger, range(1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            log(logger, range(1, 3))  # is told once
    made(MLflow, place / "gone", project="gone", rewound=(3, 4)).close()
    (run,) = mlflow_runs("gone").values()
    assert [step for step, _ in run["points"]["train/loss"]] == [0, 1, 2]


def test_a_server_that_has_later_points_keeps_them_and_gets_none_twice(place: Path, monkeypatch: pytest.MonkeyPatch):
    """As `_database` knows no file of it."""
    pytest.importorskip("mlflow")
    logger = made(MLflow, place / "server", project="server")
    log(logger, range(4))
    rows = logger.rows_before(3)
    logger.close()
    monkeypatch.setattr("vqgen.logging.mlflow._database", lambda uri: None)
    with pytest.warns(UserWarning, match="cannot go back: what it has of later steps than 3 stays"):
        logger = made(MLflow, place / "server", project="server", rewound=(3, rows))
    log(logger, range(3, 5))
    logger.close()
    (run,) = mlflow_runs("server").values()
    assert run["points"]["train/loss"] == [(step, step / 10) for step in range(5)]


@pytest.mark.parametrize("kind", ["MLflow", "Trackio", "TensorBoard"])
def test_a_logger_that_is_not_installed_is_told_before_anything_is_read(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    name = kind.lower()
    cfg = OmegaConf.create({"logger": {"one": {"_target_": f"vqgen.logging.{kind}"}}, "project": "p"})
    with pytest.raises(ConfigError, match=rf"^logger={name} needs the package {name}: pip install 'vqgen\[{name}\]'$"):
        name_run(cfg)


def test_a_name_leads_out_of_no_folder(place: Path):
    pytest.importorskip("trackio")
    assert "/" not in Trackio("run", "p", name="../../etc/x")._name
    assert not Trackio("run", "p", name="..")._name.startswith(".")


TINY = [
    "data.size=16",
    "data.num_train=48",
    "data.num_val=16",
    "data.num_test=16",
    "data.batch_size=8",
    "model.encoder.hidden_channels=8",
    "model.encoder.residual_channels=8",
    "model.quantizer.num_embeddings=8",
    "model.quantizer.embedding_dim=4",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "hardware=cpu",
    "callbacks.last.every_n_steps=2",
    "callbacks.reconstructions.every_n_epochs=1",
    "logger=[csv,mlflow,trackio]",
]


def of_folder(folder: Path) -> list[dict[str, dict[str, Any]]]:
    """The runs in a folder's files, of MLflow and of Trackio, as another process reads them."""
    code = "import json; from tests.logging.test_trackers import mlflow_runs, trackio_runs\n"
    code += "print(json.dumps([mlflow_runs(), trackio_runs()]))"
    mine = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=mine, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.slow
def test_a_training_killed_in_the_middle_of_an_epoch_is_one_run_in_mlflow_and_trackio(command: Command, tmp_path: Path):
    pytest.importorskip("mlflow")
    pytest.importorskip("trackio")
    words, mine = [*TINY, f"data_dir={tmp_path}"], os.environ | {"PYTHONPATH": str(ROOT)}
    done = command("train.py", *words, "run_dir=whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Trackio" not in done.stdout + done.stderr
    line = [sys.executable, "-m", "tests.killed", "9", *words, "run_dir=killed"]
    done = subprocess.run(line, cwd=tmp_path, env=mine, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    done = command("train.py", "resume=killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for runs in of_folder(tmp_path):
        by_name = {run["name"]: run for run in runs.values()}
        assert len(runs) == len(by_name) == 2
        whole, killed = by_name["whole"], by_name["killed"]
        for run in (whole, killed):
            del run["points"]["train/images_per_second"]
        assert killed["points"] == whole["points"]
        assert [step for step, _ in whole["points"]["train/loss"]] == [*range(12)]
        assert {"val/loss", "test/loss"} <= whole["points"].keys()
        assert killed["pictures"] == whole["pictures"]
        assert len(whole["pictures"]) >= 2
