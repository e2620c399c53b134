"""The measures of task=evaluate, taken while a model trains."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command, composed
from tests.test_experiment import FLAT, IMAGES, NETWORK, SMALL, train_in
from vqgen.config.check import check
from vqgen.errors import UserError
from vqgen.experiment import train
from vqgen.runs.opening import open_trained
from vqgen.tasks.evaluate import Evaluate
from vqgen.training import Evaluation

TWICE = ["trainer.max_epochs=2", "extras=evaluation", "callbacks.evaluation.every_n_epochs=1"]
VAE = ["model=vae", *FLAT, *IMAGES, *SMALL, *TWICE, "callbacks.evaluation.task.num_samples=16"]


def _logged(folder: Path, name: str) -> list[float]:
    with open(folder / "metrics.csv") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


@pytest.mark.parametrize("extras", ["evaluation", "[evaluation,averaged_weights]", "[averaged_weights,evaluation]"])
def test_what_is_logged_in_training_is_what_the_task_finds_in_its_last_checkpoint(tmp_path: Path, extras: str):
    folder = train_in(tmp_path / "vae", [*VAE, f"extras={extras}", "optim.lr=0.01"])
    logged = _logged(folder, "evaluate/val/elbo")
    found = Evaluate(split="val", num_samples=16)(open_trained(folder, "last")).metrics["evaluate/val/elbo"]
    assert len(logged) == 2
    assert logged[0] != logged[1]
    assert logged[1] == pytest.approx(found, rel=1e-5)
    assert (folder / "evaluation" / "epoch_0002" / "evaluation.json").exists()


def test_measuring_leaves_the_training_as_it_is(tmp_path: Path):
    weights: list[Any] = []
    for name, words in (("with", VAE), ("without", [word for word in VAE if "evaluation" not in word])):
        folder = train_in(tmp_path / name, words)
        weights.append(torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_prior_in_training_is_measured_with_its_tokenizer(tmp_path: Path):
    tokenizer = train_in(tmp_path / "vqvae", ["model=vqvae", *NETWORK, *IMAGES, *SMALL])
    words = ["model=gated_pixelcnn", f"tokenizer={tokenizer}", "model.network.hidden_channels=8", *SMALL, *TWICE]
    folder = train_in(tmp_path / "prior", [*words, "model.network.num_layers=2"])
    assert len(_logged(folder, "evaluate/val/nats_per_code")) == 2


def test_a_measure_that_cannot_be_had_stops_the_run_before_its_first_step(tmp_path: Path):
    words = [*VAE, "callbacks.evaluation.task.metrics=[fid]", f"run_dir={tmp_path / 'run'}"]
    cfg = composed([*words, f"data_dir={tmp_path}"])
    check(cfg)
    with pytest.raises(UserError, match="classifier=RUN is needed"):
        train(cfg, tmp_path / "run")
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_epochs_between_evaluations_are_at_least_one():
    with pytest.raises(ValueError, match="every_n_epochs=0"):
        Evaluation(lambda model: model, Evaluate(), every_n_epochs=0)


@pytest.mark.slow
def test_of_two_processes_one_measures_and_the_training_goes_on(command: Command, tmp_path: Path):
    run = tmp_path / "run"
    words = ["model=vqvae", *NETWORK, *IMAGES, *SMALL, *TWICE, "hardware=ddp", "hardware.devices=2"]
    words += ["hardware.accelerator=cpu", "hardware.precision=32-true", "data.batch_size=4", f"run_dir={run}"]
    done = command("train.py", *(word for word in words if word != "hardware=cpu"))
    assert done.returncode == 0, done.stderr
    assert len(_logged(run, "evaluate/val/psnr")) == 2


def test_the_test_is_of_the_weights_that_are_kept_averages_too(tmp_path: Path):
    steps = [word for word in SMALL if "limit_train" not in word and "max_epochs" not in word]
    words = ["model=vqvae", *NETWORK, *IMAGES, *steps, "trainer.max_epochs=3", "optim.lr=1e-2"]
    run = train_in(tmp_path / "run", [*words, "extras=[averaged_weights]"])
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    (told,) = (float(row["test/loss"]) for row in rows if row["test/loss"])
    kept = open_trained(run)
    objective = kept.model.objective(kept.first(16))  # type: ignore[operator]
    assert told == pytest.approx(objective.loss.item(), rel=1e-5)
