"""Players move at once: each one's gradients are those of its own objective, and buffers follow their owner alone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from vqgen.errors import ConfigError
from vqgen.optim import Constant, Game, Objective, Player, weighted


class Pair(nn.Module):
    """A maker, whose result is judged by a critic with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.critic = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def make(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Objective:
        made = self.maker(x)
        return weighted(
            {"adversarial": -self.critic(made).mean(), "size": made.square().mean()},
            {"size": 0.5},
            outputs={"made": made},
        )

    def judge(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Objective:
        assert not outputs["made"].requires_grad
        return weighted({"made": self.critic(outputs["made"]).mean()}, {})

    def players(self, critic: str = r"critic\.") -> list[Player]:
        return [
            Player(name, pattern, objective, partial(SGD, lr=0.1), Constant())
            for name, pattern, objective in (("maker", r"(?!critic\.)", self.make), ("critic", critic, self.judge))
        ]


def pair() -> tuple[Pair, Tensor]:
    torch.manual_seed(0)
    return Pair(), torch.randn(8, 3)


def test_the_gradients_of_players_are_those_of_separate_backward_passes():
    model, x = pair()
    Game(model, model.players()).play(x).loss.backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    model, x = pair()
    made = model.make(x, {})
    expected = dict(
        zip(
            (f"maker.{name}" for name, _ in model.maker.named_parameters()),
            torch.autograd.grad(made.loss, [*model.maker.parameters()]),
            strict=True,
        )
    )
    judged = model.judge(x, {"made": made.outputs["made"].detach()}).loss
    expected |= zip(
        (f"critic.{name}" for name, _ in model.critic.named_parameters()),
        torch.autograd.grad(judged, [*model.critic.parameters()]),
        strict=True,
    )
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_running_averages_follow_their_owner_once():
    model, x = pair()
    buffers = dict(model.named_buffers())
    game = Game(model, model.players())
    for steps in (1, 2):
        game.play(x)
        assert all(buffers[name] is buffer for name, buffer in model.named_buffers())  # the same tensors
        assert model.maker[1].num_batches_tracked == model.critic[1].num_batches_tracked == steps


def test_all_parameters_train_again_after_a_turn_that_failed():
    model, x = pair()
    game = Game(model, model.players())
    with pytest.raises(RuntimeError):
        game.play(x[:, :2])
    assert all(p.requires_grad for p in model.parameters())


def test_terms_of_the_first_player_have_their_plain_names_and_others_that_of_the_player():
    model, x = pair()
    played = Game(model, model.players()).play(x)
    assert played.terms.keys() == {"loss", "adversarial", "size", "critic_loss", "critic_made"}
    torch.testing.assert_close(played.loss, played.terms["loss"] + played.terms["critic_loss"])


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        (r"critic\.0", r"critic.1.weight is trained by no player: one must"),
        ("(critic|maker)", r"maker.0.weight is trained by maker and critic: one must"),
        ("(?=a)b", r"critic.0.weight is trained by no player"),
    ],
)
def test_every_parameter_has_one_player(critic: str, message: str):
    model, _ = pair()
    with pytest.raises(ConfigError, match=message):
        Game(model, model.players(critic))


def test_a_player_of_nothing_is_told():
    model, _ = pair()
    nobody: Any = Player("nobody", "nothing", model.judge, SGD, Constant())
    with pytest.raises(ConfigError, match="player nobody: no parameter that is trained fits nothing"):
        Game(model, [*model.players(), nobody])
