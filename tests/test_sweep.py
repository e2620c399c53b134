"""Sweeps: one failing job does not lose the others, and a leaderboard stands at the end."""

import csv
import json
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, TINY, Command
from tests.processes import python
from vqgen.errors import FolderError
from vqgen.runs.leaderboard import UNFINISHED, Job, job_before, markdown, plot, read_jobs, swept, write_job, write_table

SHORT = [*TINY, "data.num_train=32", "trainer.max_epochs=1", "logger=csv", "callbacks=checkpoints"]


def _table(cwd: Path) -> list[dict[str, str]]:
    (file,) = cwd.glob("multirun/*/leaderboard.csv")
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_jobs_are_ordered_best_first_and_failed_ones_last(tmp_path: Path):
    for number, (k, objective, error) in enumerate([("64", 2.0, None), ("128", None, "broke"), ("256", 1.0, None)]):
        write_job(tmp_path / str(number), ["model=vqvae", f"+model.k={k}"], objective, error)
    jobs = read_jobs(tmp_path)
    assert [job.objective for job in jobs] == [1.0, 2.0, None]
    assert swept(jobs) == ["model.k"]
    lines = markdown(jobs, ["model.k"]).splitlines()
    assert lines[2] == f"| 1 | 1 | 256 | {tmp_path / '2'} |"
    assert "failed: broke" in lines[4]
    write_table(jobs, ["model.k"], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("1,1.0,256,")


def test_a_job_that_was_killed_stands_in_the_table(tmp_path: Path):
    write_job(tmp_path / "0", ["seed=0"], None, UNFINISHED)
    write_job(tmp_path / "1", ["seed=1"], None, UNFINISHED)
    write_job(tmp_path / "1", ["seed=1"], 1.0)
    assert [(job.objective, job.error) for job in read_jobs(tmp_path)] == [(1.0, None), (None, UNFINISHED)]


def test_a_job_is_that_of_before_only_by_the_same_words(tmp_path: Path):
    assert job_before(tmp_path / "0", ["seed=0"]) is None
    write_job(tmp_path / "0", ["seed=0", "+model.k=1"], 0.5)
    assert job_before(tmp_path / "0", ["seed=0", "+model.k=1"]) == read_jobs(tmp_path)[0]
    for words, told in (
        (["seed=1", "+model.k=1"], "with 'seed=0' where this one has 'seed=1'"),
        (["seed=0"], "with 'model.k=1' where this one has ''"),
    ):
        with pytest.raises(FolderError, match=told):
            job_before(tmp_path / "0", words)


@pytest.mark.slow
def test_a_killed_sweep_that_is_started_again_keeps_goes_on_and_runs_the_rest(command: Command, tmp_path: Path):
    """Three jobs of one, two and three epochs of two steps: killed at the last step of the second one."""
    epochs = "trainer.max_epochs=1,2,3"
    words = [
        *SHORT,
        epochs,
        "data.batch_size=11",
        "trainer.log_every_n_steps=1",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    ]
    killed = python("-m", "tests.killed", "3", "-m", *words, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    finished = {file: file.stat().st_mtime for file in (tmp_path / "sweep" / "0").rglob("*")}
    assert not (tmp_path / "sweep" / "2").exists()
    done = command("train.py", "-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime for file in (tmp_path / "sweep" / "0").rglob("*")} == finished
    for job, last in ((1, 3), (2, 5)):
        rows = csv.DictReader((tmp_path / "sweep" / str(job) / "metrics.csv").read_text().splitlines())
        assert [int(row["step"]) for row in rows if row["train/loss"]] == list(range(last + 1))
    with (tmp_path / "sweep" / "leaderboard.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert sorted(row["trainer.max_epochs"] for row in table) == ["1", "2", "3"]
    assert all(row["objective"] for row in table)
    other = command("train.py", "-m", *words, "seed=3", cwd=tmp_path)
    assert other.returncode == 2
    assert other.stderr.count("holds a job of another sweep, with '' where this one has 'seed=3'") == 1
    assert "Traceback" not in other.stderr
    assert not (tmp_path / "sweep" / "in_use.lock").exists()


@pytest.mark.parametrize("values", [("64", "512"), ("ema", "fsq")])
def test_every_swept_option_is_drawn(values: tuple[str, str], tmp_path: Path):
    jobs = [Job(str(i), {"model/quantizer": value}, float(i), None) for i, value in enumerate(values)]
    path = plot(jobs, "model/quantizer", tmp_path)
    assert path is not None
    assert Image.open(path).size[0] > 500
    assert plot([job._replace(objective=None) for job in jobs], "model/quantizer", tmp_path) is None


@pytest.mark.slow
def test_a_failing_job_does_not_lose_the_others(command: Command, tmp_path: Path):
    done = command("train.py", "-m", *SHORT, "model.encoder.downsampling=4,3,2", cwd=tmp_path)
    assert done.returncode == 1
    rows = _table(tmp_path)
    assert [bool(row["objective"]) for row in rows] == [True, True, False]
    assert float(rows[0]["objective"]) <= float(rows[1]["objective"])
    assert rows[2]["model.encoder.downsampling"] == "3"
    assert "downsampling=3" in rows[2]["error"]
    assert "| 1 |" in done.stdout
    assert list(tmp_path.glob("multirun/*/objective_model.encoder.downsampling.png"))
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.slow
def test_jobs_of_two_processes_each_train_one_after_the_other_and_outlive_a_failing_one(
    command: Command, tmp_path: Path
):
    two = [
        "hardware=ddp",
        "hardware.devices=2",
        "hardware.accelerator=cpu",
        "hardware.precision=32-true",
        "hardware.num_workers=0",
        "data.batch_size=8",
    ]
    done = command("train.py", "-m", *SHORT, *two, "model.encoder.downsampling=4,3,2", cwd=tmp_path)
    assert done.returncode == 1
    rows = _table(tmp_path)
    assert {row["model.encoder.downsampling"] for row in rows if row["objective"]} == {"4", "2"}
    assert "downsampling=3" in rows[2]["error"]
    assert sum("downsampling=3" in line for line in done.stderr.splitlines()) == 1  # of two processes
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["multirun"]
    jobs = [p for p in next((tmp_path / "multirun").iterdir()).iterdir() if p.is_dir()]
    assert {job.name for job in jobs} == {"0", "1", "2"}
    for job in jobs:
        trained = {"config.yaml", "composed.yaml", "job.json", "checkpoints", "metrics.csv"}
        assert {p.name for p in job.iterdir()} == ({"job.json"} if job.name == "1" else trained)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("hydra_plugins.hydra_joblib_launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("hydra_plugins.hydra_submitit_launcher", ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"]),
        (
            "hydra_plugins.hydra_ray_launcher",
            [
                "hydra/launcher=ray_cluster",
                "hydra.launcher.ray.init.address=local",
                "hydra.launcher.ray.remote.num_gpus=0",
                "hydra.launcher.ray.remote.num_cpus=1",
            ],
        ),
    ],
)
def test_parallel_launchers_train_all_jobs_but_the_failing_one(
    plugin: str, words: list[str], command: Command, tmp_path: Path
):
    pytest.importorskip(plugin)
    done = command("train.py", "-m", *SHORT, *words, "model.encoder.downsampling=4,3,2", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    rows = _table(tmp_path)
    assert {row["model.encoder.downsampling"] for row in rows if row["objective"]} == {"4", "2"}
    assert "downsampling=3" in rows[2]["error"]
    assert list(tmp_path.glob("multirun/*/objective_model.encoder.downsampling.png"))


@pytest.mark.slow
def test_optuna_searches_and_outlives_a_failing_trial(command: Command, tmp_path: Path):
    pytest.importorskip("optuna", minversion="4")
    words = ["sweep=optuna", "hydra.sweeper.n_trials=3", "model.encoder.downsampling=choice(4,2,3)", *SHORT]
    words = [word for word in words if "num_embeddings" not in word]
    done = command("train.py", *words, "hydra.sweeper.sampler.seed=1", cwd=tmp_path)
    rows = _table(tmp_path)
    assert len(rows) == 3, done.stderr
    assert any(row["objective"] for row in rows)
    assert done.returncode == (1 if any(row["error"] for row in rows) else 0)
    record = json.loads(next(tmp_path.glob("multirun/*/0/job.json")).read_text())
    assert "model.quantizer.num_embeddings" in record["overrides"]


@pytest.mark.slow
def test_a_job_that_is_gone_on_with_by_itself_has_its_new_place_in_the_leaderboard(command: Command, tmp_path: Path):
    words = [*SHORT, "seed=0,1", "data.num_train=96", "optim.lr=0.03"]
    assert command("train.py", "-m", *words, cwd=tmp_path).returncode == 0
    before = _table(tmp_path)
    done = command("train.py", f"resume={before[1]['folder']}", "trainer.max_epochs=6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = _table(tmp_path)
    assert after[0]["folder"] == before[1]["folder"]
    assert float(after[0]["objective"]) < float(after[1]["objective"]) == float(before[0]["objective"])
    assert "| 1 |" in done.stdout
