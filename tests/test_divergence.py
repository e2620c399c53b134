"""A loss that is no number stops the run, and the message says where."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch

from tests.conftest import TINY, Command
from vqgen.callbacks import Diverged, Divergence
from vqgen.callbacks.measures import gradient_norm

MODEL = Mock(spec=pl.LightningModule)


def _step(callback: Divergence, step: int, loss: float) -> None:
    trainer = Mock(spec=pl.Trainer, accumulate_grad_batches=1, fit_loop=Mock(), strategy=Mock(), datamodule=Mock())
    trainer.fit_loop.total_batch_idx = step
    trainer.strategy.reduce_boolean_decision = lambda decision, all: decision
    trainer.datamodule.names = lambda split, index: [f"{split}/{i}.png" for i in index]
    batch = Mock(index=torch.arange(step * 10, step * 10 + 10))
    callback.on_train_batch_end(trainer, MODEL, {"loss": torch.tensor(loss)}, batch, step)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_the_message_names_the_first_bad_step_and_its_images(loss: float, tmp_path: Path):
    (tmp_path / "last.ckpt").touch()
    callback = Divergence(str(tmp_path), every_n_steps=4)
    for step in range(2):
        _step(callback, step, 1.0)
    _step(callback, 2, loss)
    with pytest.raises(Diverged) as error:
        _step(callback, 3, float("nan"))
    message = str(error.value)
    assert message.startswith(f"the loss is {loss} at step 2, with the images train/20.png, train/21.png, ")
    assert "train/27.png and 2 more" in message
    assert f"'{tmp_path / 'last.ckpt'}' is from before it: python train.py resume={tmp_path.parent}" in message
    assert "\n" not in message


def test_finite_losses_pass(tmp_path: Path):
    callback = Divergence(str(tmp_path), every_n_steps=1)
    for step in range(3):
        _step(callback, step, 1e30)


@pytest.mark.slow
def test_a_diverging_run_stops_in_one_line_and_its_last_checkpoint_is_good(command: Command, tmp_path: Path):
    words = [*TINY, "optim=adam", "optim.lr=1e25", "schedule=constant", "trainer.max_epochs=50", "logger=csv",
             "callbacks.last.every_n_steps=1"]
    done = command("train.py", *words, f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the loss is ")
    assert "Traceback" not in done.stderr
    for file in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        assert torch.load(file, weights_only=True)["global_step"] >= 1


def test_the_gradient_norm_is_that_of_all_gradients_in_one_vector():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    model(torch.randn(5, 3)).square().sum().backward()
    joined = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(gradient_norm(model), joined.norm())
