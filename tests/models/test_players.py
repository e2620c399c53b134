"""A training of a model with a critic: accumulated, clipped, stopped and resumed, and diverging."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.optim import SGD

from tests.models.adversarial import adversarial
from tests.models.test_ranks import Noise, trained, trainer
from vqgen.models.vqvae import VQVAE
from vqgen.training import Divergence, DivergenceError, Record

PLAIN: Any = partial(SGD, lr=0.05)


def state(model: pl.LightningModule) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_micro_batches_train_both_players_as_the_joined_batch_does():
    joined = trained(adversarial(PLAIN), Noise(12, 36, 6, 6))
    parts = trained(adversarial(PLAIN), Noise(6, 36, 6, 6), accumulate_grad_batches=2)
    for name, value in joined["weights"].items():
        torch.testing.assert_close(parts["weights"][name], value, rtol=1e-5, atol=5e-6, msg=name)
    assert parts["figures"][-1] == pytest.approx(joined["figures"][-1], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_step_of_two_players_is_one_step(precision: str):
    model = adversarial()
    run = trainer(precision=precision)
    run.fit(model, Noise(12, 36, 6, 6))
    assert run.global_step == 3
    assert type(run.optimizers[0]).__name__ == "Composite"
    assert {
        "train/loss",
        "train/recon_loss",
        "train/adversarial_loss",
        "train/critic_loss",
        "train/critic_hinge_real",
    } <= (run.callback_metrics.keys())


@pytest.mark.parametrize("penalty", ["r1", "lecam"])
def test_a_run_of_two_players_goes_on_bit_for_bit(penalty: str, tmp_path: Path):
    def fitted(epochs: int, **options: Any) -> tuple[pl.Trainer, VQVAE]:
        pl.seed_everything(0, verbose=False)
        model = adversarial(batch_norm=True, adaptive=True, penalty=penalty, start_step=2)
        run = trainer(Record({"seed": 0}, None, {}), max_epochs=epochs)
        run.fit(model, Noise(12, 36, 6, 6), **options)
        return run, model

    whole, expected = fitted(2)
    stopped, _ = fitted(1)
    stopped.save_checkpoint(tmp_path / "stopped.ckpt")
    resumed, found = fitted(2, ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert whole.global_step == resumed.global_step == 6
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    one, other = (run.optimizers[0].state_dict()["state"] for run in (whole, resumed))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_critic_that_diverges_stops_the_run(tmp_path: Path):
    run = trainer(Divergence(str(tmp_path), every_n_steps=1))
    with pytest.raises(DivergenceError, match=r"the loss is nan \(critic_loss is nan\) at step 0"):
        run.fit(adversarial(sharpness=float("nan")), Noise(12, 36, 6, 6))


def test_the_gradients_of_each_player_are_clipped_by_themselves():
    """A critic with huge gradients moves by lr * clip, and leaves the step of the other player as it is."""

    def moved(sharpness: float, part: str) -> float:
        model = adversarial(PLAIN, sharpness=sharpness)
        before = state(model)
        trainer(max_steps=1, gradient_clip_val=clip).fit(model, Noise(12, 36, 6, 6))
        names = [name for name, _ in model.named_parameters() if name.startswith(part)]
        return float(torch.cat([(model.state_dict()[name] - before[name]).flatten() for name in names]).norm())

    clip = 1e-3
    for sharpness in (1.0, 1e4):
        assert moved(sharpness, "critic.") == pytest.approx(0.02 / 6 * clip, rel=1e-2)  # a sixth, by the warm-up
    assert moved(1.0, "decoder.") == moved(1e4, "decoder.") > 0
