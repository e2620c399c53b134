"""A loss that is no number stops the run, and the message says where."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch

from tests.conftest import TINY, Command
from vqgen.batch import ImageBatch
from vqgen.training import Divergence, DivergenceError
from vqgen.training.monitors import gradient_norm

MODEL = Mock(spec=pl.LightningModule)


def _trainer(step: int, **measured: float) -> Mock:
    trainer = Mock(
        spec=pl.Trainer,
        accumulate_grad_batches=1,
        fit_loop=Mock(),
        strategy=Mock(),
        datamodule=Mock(),
        sanity_checking=False,
        global_step=step,
        callback_metrics={f"val/{name}": torch.tensor(value) for name, value in measured.items()},
    )
    trainer.fit_loop.total_batch_idx = step
    trainer.strategy.reduce_boolean_decision = lambda decision, all: decision
    trainer.datamodule.names = lambda split, index: [f"{split}/{i}.png" for i in index]
    return trainer


def _step(callback: Divergence, step: int, loss: float) -> None:
    trainer = _trainer(step)
    batch = Mock(spec=ImageBatch, index=torch.arange(step * 10, step * 10 + 10))
    callback.on_train_batch_end(trainer, MODEL, {"loss": torch.tensor(loss)}, batch, step)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_the_message_names_the_first_bad_step_and_its_images(loss: float, tmp_path: Path):
    (tmp_path / "last.ckpt").touch()
    callback = Divergence(str(tmp_path), every_n_steps=4)
    for step in range(2):
        _step(callback, step, 1.0)
    _step(callback, 2, loss)
    with pytest.raises(DivergenceError) as error:
        _step(callback, 3, float("nan"))
    message = str(error.value)
    assert message.startswith(f"the loss is {loss} at step 2, with the images train/20.png, train/21.png, ")
    assert "train/27.png and 2 more" in message
    assert f"'{tmp_path / 'last.ckpt'}' is from before it: python train.py resume={tmp_path.parent}" in message
    assert "\n" not in message


def test_every_process_names_the_images_of_the_one_whose_loss_went_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    others = [(7, float("inf"), [70, 71], []), (3, float("nan"), [30, 31], ["kl is nan"])]
    monkeypatch.setattr("vqgen.training.divergence.of_all_ranks", lambda mine: [mine, *others])
    callback, trainer = Divergence(str(tmp_path), every_n_steps=1), _trainer(9)
    trainer.strategy.reduce_boolean_decision = lambda decision, all: True
    told = r"the loss is nan \(kl is nan\) at step 3, with the images train/30.png, train/31.png;"
    batch = Mock(spec=ImageBatch, index=torch.arange(2))
    with pytest.raises(DivergenceError, match=told):
        callback.on_train_batch_end(trainer, MODEL, {"loss": torch.tensor(1.0)}, batch, 9)


def test_finite_losses_pass(tmp_path: Path):
    callback = Divergence(str(tmp_path), every_n_steps=1)
    for step in range(3):
        _step(callback, step, 1e30)


def _model(weight: float) -> Mock:
    state = {"first": torch.ones(3), "codes": torch.ones(2).long(), "second": torch.tensor([1.0, weight])}
    return Mock(spec=pl.LightningModule, state_dict=lambda: state)


@pytest.mark.parametrize("hook", ["on_train_end", "on_save_checkpoint"])
def test_fewer_losses_than_make_a_look_are_looked_at_before_a_checkpoint_and_at_the_end(hook: str, tmp_path: Path):
    callback = Divergence(str(tmp_path), every_n_steps=10)
    _step(callback, 0, float("nan"))
    with pytest.raises(DivergenceError, match="the loss is nan at step 0"):
        getattr(callback, hook)(_trainer(1), _model(1.0), *([{}] if hook == "on_save_checkpoint" else []))


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_never_saved(weight: float, tmp_path: Path):
    callback = Divergence(str(tmp_path), every_n_steps=10)
    _step(callback, 0, 1.0)
    callback.on_save_checkpoint(_trainer(1), _model(1e30), {})
    with pytest.raises(DivergenceError, match="weights not finite after step 1, first second"):
        callback.on_save_checkpoint(_trainer(1), _model(weight), {})


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_validation_loss_that_is_no_number_stops_the_run(loss: float, tmp_path: Path):
    callback = Divergence(str(tmp_path), every_n_steps=10)
    callback.on_validation_end(_trainer(1, loss=1e30), MODEL)
    callback.on_validation_end(_trainer(1), MODEL)
    with pytest.raises(DivergenceError, match=f"val/loss is {loss} after step 1; no checkpoint had been written"):
        callback.on_validation_end(_trainer(1, loss=loss), MODEL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optim.lr=1e30"], "error: val/loss is nan after step 1"),
        (["hardware.precision=bf16-true"], "error: hardware.precision=bf16-true: take one of 32-true"),
        (["hardware.precision=64-true"], "error: hardware.precision=64-true: take one of 32-true"),
    ],
)
def test_a_run_of_one_step_that_cannot_go_well_ends_in_one_line(
    words: list[str], message: str, command: Command, tmp_path: Path
):
    one_step = [*TINY, "data.num_train=32", "schedule=constant", "trainer.max_epochs=1", "logger=none"]
    done = command("train.py", *one_step, *words, f"run_dir={tmp_path / 'run'}")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith(message)
    assert not list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))


@pytest.mark.slow
def test_a_diverging_run_stops_in_one_line_and_its_last_checkpoint_is_good(command: Command, tmp_path: Path):
    words = [
        *TINY,
        "optim=adam",
        "optim.lr=1e25",
        "schedule=constant",
        "trainer.max_epochs=50",
        "logger=csv",
        "callbacks.last.every_n_steps=1",
    ]
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
