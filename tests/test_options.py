"""Options that people expect of a trainer reach it, and end a run properly."""

import csv
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY, Command

pytestmark = pytest.mark.slow

SHORT = [*TINY, "logger=csv", "callbacks=checkpoints", "trainer.log_every_n_steps=1"]


def rows(run: Path, key: str) -> list[float]:
    with (run / "metrics.csv").open(newline="") as lines:
        return [float(row[key]) for row in csv.DictReader(lines) if row.get(key)]


def test_a_run_stops_early_where_nothing_improves_and_tells_where_its_time_went(command: Command, tmp_path: Path):
    run = tmp_path / "run"
    words = [
        "extras=early_stopping",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=1e6",
        "trainer.max_epochs=50",
        "trainer.profiler=simple",
        "trainer.deterministic=true",
    ]
    done = command("train.py", *SHORT, *words, f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    assert len(rows(run, "val/loss")) == 2
    assert "Profiler Report" in done.stdout + done.stderr
    assert rows(run, "test/loss")


def test_time_and_batches_can_be_limited(command: Command, tmp_path: Path):
    run = tmp_path / "run"
    words = [
        "trainer.max_epochs=-1",
        "trainer.max_time=00:00:00:04",
        "trainer.limit_train_batches=2",
        "trainer.limit_val_batches=1",
    ]
    done = command("train.py", *SHORT, *words, f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    assert len(rows(run, "train/loss")) >= 2
    assert len(rows(run, "train/loss")) <= 2 * len(rows(run, "val/loss")) + 2
    assert rows(run, "test/loss")


def test_clipped_and_accumulated_gradients_take_half_the_steps_and_shorter_ones(command: Command, tmp_path: Path):
    sgd = ["optim._target_=torch.optim.SGD", "~optim.betas", "optim.lr=1.0", "schedule=constant", "data.batch_size=24"]
    kinds = {"plain": [], "clipped": ["trainer.gradient_clip_val=1e-9", "trainer.accumulate_grad_batches=2"]}
    steps, moved = {}, {}
    for name, more in kinds.items():
        run = tmp_path / name
        done = command("train.py", *SHORT, *sgd, *more, "trainer.max_epochs=1", f"run_dir={run}")
        assert done.returncode == 0, done.stderr
        steps[name], before = len(rows(run, "train/grad_norm")), weight(run)
        done = command("train.py", f"resume={run}", "trainer.max_epochs=2")
        assert done.returncode == 0, done.stderr
        moved[name] = (weight(run) - before).abs().max()
    assert (steps["plain"], steps["clipped"]) == (4, 2)
    assert moved["clipped"] < 1e-6 < moved["plain"]


def weight(run: Path) -> torch.Tensor:
    """Of the first layer, as last saved."""
    return next(iter(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"].values()))


def test_a_trial_leaves_nothing_in_the_way_of_the_run(command: Command, tmp_path: Path):
    run = tmp_path / "run"
    trial = command("train.py", *SHORT, "+trainer.fast_dev_run=true", f"run_dir={run}")
    assert trial.returncode == 0, trial.stderr
    assert "trainer.fast_dev_run keeps nothing" in trial.stdout + trial.stderr
    assert not list(run.glob("**/*.ckpt"))
    done = command("train.py", *SHORT, "trainer.max_epochs=1", f"run_dir={run}")
    assert done.returncode == 0, done.stderr


def test_batches_to_be_learnt_by_heart_are_the_same_in_every_epoch_and_after_a_resume(command: Command, tmp_path: Path):
    """At a rate of nothing the same images have the same loss."""
    run = tmp_path / "run"
    tiny = [word for word in SHORT if not word.startswith("model.quantizer")]
    words = ["+trainer.overfit_batches=1", "model/quantizer=fsq", "optim.lr=1e-30"]
    done = command("train.py", *tiny, *words, f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    assert command("train.py", f"resume={run}", "trainer.max_epochs=4").returncode == 0
    assert len(rows(run, "train/loss")) == 4
    assert len(set(rows(run, "train/loss"))) == 1
