"""What is searched before a training stands in its config, and the training is that of one who typed it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import Command
from vqgen.data.loading.loader import DataModule

pytestmark = pytest.mark.slow

WORDS = [
    "model=ae",
    "model.encoder.hidden_channels=[8,8]",
    "model.decoder.hidden_channels=[8,8]",
    "model.latent_dim=4",
    "data.size=16",
    "data.num_train=100",
    "data.num_val=16",
    "data.num_test=16",
    "data.batch_size=16",
    "hardware=cpu",
    "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false",
    "callbacks=checkpoints",
]
SEARCHES = [
    "extras=[learning_rate_finder,batch_size_finder]",
    "tune.learning_rate.num_steps=40",
    "tune.batch_size.most=40",
]


def config(run: Path, name: str = "config") -> Any:
    return OmegaConf.to_container(OmegaConf.load(run / f"{name}.yaml"))


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_what_is_found_stands_in_the_config_and_trains_as_if_typed(command: Command, tmp_path: Path):
    found, typed = tmp_path / "found", tmp_path / "typed"
    done = command("train.py", *WORDS, *SEARCHES, "logger=csv", f"run_dir={found}")
    assert done.returncode == 0, done.stderr
    rate = config(found)["optim"]["lr"]
    assert 1e-6 < rate < 1
    assert config(found)["data"]["batch_size"] == 32  # the power of two that `most` and 100 images allow
    for one in (config(found, "composed"), last(found)["vqgen"]["config"]):
        assert (one["optim"]["lr"], one["data"]["batch_size"]) == (rate, 32)
    assert config(found)["model"]["optimizer"]["lr"] == rate
    assert f"Found optim.lr={rate}" in done.stdout + done.stderr
    assert (found / "images" / "learning_rate.png").stat().st_size > 5000
    assert {p.name for p in found.iterdir()} == {"checkpoints", "config.yaml", "composed.yaml", "images", "metrics.csv"}
    words = [*WORDS, f"optim.lr={rate}", "data.batch_size=32", "logger=csv"]
    assert command("train.py", *words, f"run_dir={typed}").returncode == 0
    assert last(found)["global_step"] == last(typed)["global_step"] == 3
    for name, value in last(typed)["state_dict"].items():
        assert torch.equal(value, last(found)["state_dict"][name]), name
    done = command("train.py", f"resume={found}", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert "Found" not in done.stdout + done.stderr  # a run that goes on searches nothing
    assert config(found)["optim"]["lr"] == rate


def test_the_rate_found_for_a_quadratic_is_where_its_loss_falls_fastest(tmp_path: Path):
    """With loss |w|^2 / 2 and SGD every step multiplies w by 1 - rate: the loss falls while the rate is below 2."""
    import pytorch_lightning as pl

    from vqgen.training.searches import LearningRate, search

    class Quadratic(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(3))

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self.w.square().sum() / 2

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1.0)

    class Ones(DataModule):
        def count(self, split: str) -> int:
            return 8

        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=1)

    def trainer(**options: Any) -> pl.Trainer:
        return pl.Trainer(accelerator="cpu", **options)

    (found,) = search({"learning_rate": LearningRate(1e-4, 10.0, 60)}, trainer, Quadratic, Ones(), tmp_path)
    assert found.key == "optim.lr"
    assert 1e-3 < found.value < 2
    assert math.isclose(found.value, float(f"{found.value:.3g}"))


def test_a_search_with_several_processes_is_refused_in_one_line(command: Command, tmp_path: Path):
    done = command(
        "train.py",
        *WORDS,
        SEARCHES[0],
        "hardware=ddp",
        "hardware.accelerator=cpu",
        "hardware.devices=2",
        "hardware.precision=32-true",
        f"run_dir={tmp_path / 'run'}",
    )
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert "a search needs a single process: do it with hardware.devices=1" in done.stderr
