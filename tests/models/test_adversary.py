"""A critic beside a tokenizer: its losses by hand, when they count, and what they leave alone."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from tests.models.adversarial import adversarial
from tests.models.test_ranks import Noise, trainer
from vqgen.batch import ImageBatch
from vqgen.models.adversary import Adversary, last_weights
from vqgen.nn.critic import PatchCritic
from vqgen.optim import Game, weighted

OPTIMIZER: Any = partial(Adam, lr=1e-3)


def patches(in_channels: int) -> nn.Module:
    return PatchCritic(in_channels, hidden_channels=4, num_layers=1)


def adversary(**options: Any) -> Adversary:
    torch.manual_seed(0)
    return Adversary(network=patches, in_channels=1, optimizer=OPTIMIZER, **options)


def images(seed: int = 1) -> Tensor:
    return torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def batch(dtype: torch.dtype = torch.float32) -> ImageBatch:
    return ImageBatch(images().to(dtype), {}, torch.arange(5))


def test_the_critic_wants_images_above_one_and_what_was_made_below_minus_one():
    critic = adversary(penalty="none")
    real, made = critic.network(images(1)), critic.network(images(2))
    judged = critic.judge(batch(), {"x_hat": images(2)})
    expected = F.relu(1 - real).mean() + F.relu(1 + made).mean()
    torch.testing.assert_close(judged.loss, expected)


def test_r1_is_half_the_squared_gradient_by_real_images():
    critic = adversary(penalty="r1", penalty_weight=10.0).double()
    x = images().double().requires_grad_()
    slopes = [torch.autograd.grad(critic.network(x).flatten(1).mean(1)[i], x)[0][i] for i in range(len(x))]
    judged = critic.judge(batch(torch.float64), {"x_hat": images(2).double()})
    penalty = torch.stack([slope.square().sum() for slope in slopes]).mean() / 2
    torch.testing.assert_close(judged.losses["r1"], penalty)
    torch.testing.assert_close(judged.loss, judged.losses["hinge_real"] + judged.losses["hinge_made"] + 10 * penalty)
    gradients = torch.autograd.grad(judged.losses["r1"], [*critic.network.parameters()][:1])
    assert gradients[0].abs().max() > 0


def test_lecam_is_the_distance_to_the_running_mean_of_the_other_kind():
    critic = adversary(penalty="lecam", decay=0.75)
    real, made = critic.network(images(1)).detach(), critic.network(images(2)).detach()
    real_mean, made_mean = torch.tensor(0.0), torch.tensor(0.0)
    for _ in range(3):
        judged = critic.judge(batch(), {"x_hat": images(2)})
        real_mean, made_mean = 0.75 * real_mean + 0.25 * real.mean(), 0.75 * made_mean + 0.25 * made.mean()
        expected = (real - made_mean).square().mean() + (made - real_mean).square().mean()
        torch.testing.assert_close(judged.losses["lecam"], expected)


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_gradients_of_reconstruction_and_critic_are_as_long_by_the_last_layer(adaptive: bool):
    critic = adversary(adaptive=adaptive, weight=0.5)
    decoder = nn.Conv2d(1, 1, 3, padding=1)
    x, x_hat = images(), decoder(images(2))
    recon = weighted({"recon_loss": F.mse_loss(x_hat, x)}, {})
    fooled = critic.fool(recon, x_hat, 0, recon.loss, last_weights(decoder))
    by_recon, by_critic, by_all = (
        torch.autograd.grad(loss, decoder.weight, retain_graph=True)[0]
        for loss in (recon.loss, -critic.network(x_hat).mean(), fooled.loss)
    )
    factor = 0.5 * (by_recon.norm() / by_critic.norm() if adaptive else 1)
    torch.testing.assert_close(by_all, by_recon + factor * by_critic, rtol=1e-4, atol=1e-6)


def test_before_its_start_the_critic_learns_and_the_tokenizer_is_as_without_one():
    def gradients(**options: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        model = adversarial(**options)
        model.zero_grad()
        turn = Game(model, model.players()).play(batch())
        turn.loss.backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, turn.terms

    (early, terms), (late, _) = gradients(start_step=1), gradients(start_step=0)
    without = adversarial()
    without.critic = None
    turn = Game(without, without.players()).play(batch())
    turn.loss.backward()
    assert {"adversarial_loss", "adversarial_balance", "critic_hinge_real", "critic_made"} <= terms.keys()
    for name, parameter in without.named_parameters():
        assert torch.equal(early[name], parameter.grad), name
    assert any(early[name].ne(late[name]).any() for name, _ in without.named_parameters())
    assert all(torch.equal(early[name], late[name]) for name in early if name.startswith("critic."))
    assert any(early[name].abs().max() > 0 for name in early if name.startswith("critic."))


def test_codes_know_nothing_of_the_critic_and_validation_has_no_term_of_it():
    model = adversarial(penalty="lecam")
    assert not any(name.startswith("critic.") for name in model.identity())
    run = trainer()
    run.fit(model, Noise(12, 36, 6, 6))
    assert not any("adversarial" in name or "critic" in name for name in run.callback_metrics if "val/" in name)


def test_a_patch_critic_sees_patches_of_the_size_that_it_says():
    for num_layers, size in ((2, 18), (3, 38)):
        critic = PatchCritic(1, 2, num_layers)
        nn.init.constant_(critic.network[-1].weight, 1.0)
        x = torch.randn(1, 1, 64, 64, requires_grad=True)
        middle = 64 // critic.downsampling // 2
        critic(x)[0, 0, middle, middle].backward()
        seen = x.grad[0, 0].abs().sum(0).nonzero()
        assert int(seen.max() - seen.min()) + 1 == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": "r2"}, r"penalty=r2: no such penalty \(there are: lecam, none, r1\)"),
        ({"weight": -1.0}, "weight=-1.0 must not be negative"),
        ({"decay": 1.0}, r"decay=1.0 must be in \[0, 1\)"),
    ],
)
def test_what_makes_no_critic_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        adversary(**options)


@pytest.mark.parametrize("size", [(8, 9), (12, 20), (28, 31)])
def test_every_pixel_of_an_image_of_any_size_is_judged(size: tuple[int, int]):
    x = torch.randn(1, 1, *size, requires_grad=True)
    PatchCritic(1, 16, 3)(x).sum().backward()
    assert (x.grad != 0).all()


def test_an_image_smaller_than_the_layers_halve_is_refused():
    with pytest.raises(ValueError, match="width=7 must be at least 8"):
        PatchCritic(1, 4, 3)(torch.zeros(1, 1, 8, 7))


def test_a_tokenizer_with_a_critic_has_its_optimiser():
    model = adversarial()
    assert [player.name for player in model.players()] == ["model", "critic"]
    assert model.players()[1].optimizer.func is SGD
