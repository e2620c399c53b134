"""Parameters are in the groups that patterns of their names say, and keep their state where groups change."""

from collections import OrderedDict
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Muon, Optimizer, Rprop

from vqgen.errors import ConfigError
from vqgen.optim import Composite, Constant, Cosine, Game, ParameterGroup, Player, Rates, make_optimizer
from vqgen.optim.groups import groups_of
from vqgen.optim.optimizer import Refused

NO_DECAY = ParameterGroup(r"\.bias$|Norm\w*\.weight$|^Embedding\.weight$|\.codebook$", weight_decay=0.0)
ADAMW = partial(AdamW, lr=1e-2, weight_decay=0.1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(
        codes=nn.Embedding(5, 8), hidden=nn.Linear(8, 8), norm=nn.LayerNorm(8), conv=nn.Conv1d(3, 2, 1),
    ))  # fmt: skip


def optimizer_of(module: nn.Module, factory: Any = ADAMW, **groups: ParameterGroup) -> Optimizer:
    player = Player("model", "", lambda *_: pytest.fail("nobody plays"), factory, Constant())
    return make_optimizer(Game(module, [player]), groups)[0]


def stepped(module: nn.Module, optimizer: Optimizer, steps: int = 3) -> nn.Module:
    for _ in range(steps):
        optimizer.zero_grad()
        module(torch.tensor([[0, 1, 4]])).square().sum().backward()
        optimizer.step()
    return module


def names(optimizer: Optimizer) -> dict[str, list[str]]:
    return {group["name"]: group["param_names"] for group in optimizer.param_groups}


def test_biases_norms_and_embeddings_have_no_decay():
    found = names(optimizer_of(network(), no_decay=NO_DECAY))
    assert found["rest"] == ["hidden.weight", "conv.weight"]
    assert found["no_decay"] == ["codes.weight", "hidden.bias", "norm.weight", "norm.bias", "conv.bias"]


def test_a_group_that_changes_no_option_is_none():
    optimizer = optimizer_of(network(), partial(AdamW, weight_decay=0.0), no_decay=NO_DECAY)
    assert type(optimizer) is AdamW
    assert names(optimizer) == {"rest": [name for name, _ in network().named_parameters()]}


def test_decay_shrinks_the_rest_and_leaves_the_group_alone():
    module = network()
    before = {name: p.clone() for name, p in module.named_parameters()}
    optimizer = optimizer_of(module, no_decay=NO_DECAY)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in module.named_parameters():
        shrunk = 1 - 1e-2 * 0.1 if name in ("hidden.weight", "conv.weight") else 1.0
        torch.testing.assert_close(parameter, shrunk * before[name])


def test_groups_train_as_optimisers_of_their_own_would():
    matrices = ParameterGroup(r"Linear\.weight$", optimizer=partial(Muon, lr=0.02))
    one, other = network(), network()
    optimizer = optimizer_of(one, matrices=matrices)
    assert type(optimizer) is Composite
    assert names(optimizer)["matrices"] == ["hidden.weight"]
    stepped(one, optimizer)
    parts = [ADAMW(p for name, p in other.named_parameters() if name != "hidden.weight"),
             Muon([other.hidden.weight], lr=0.02)]  # fmt: skip
    for _ in range(3):
        other.zero_grad()
        other(torch.tensor([[0, 1, 4]])).square().sum().backward()
        for part in parts:
            part.step()
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name


def test_a_state_of_several_optimisers_is_plain_and_goes_on_as_if_it_had_not_stopped(tmp_path):
    groups = {"no_decay": NO_DECAY, "matrices": ParameterGroup(r"Linear\.weight$", optimizer=partial(Muon, lr=0.02))}
    whole = network()
    stepped(whole, optimizer_of(whole, **groups), 6)
    half = network()
    optimizer = optimizer_of(half, **groups)
    stepped(half, optimizer)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    again = optimizer_of(half, **groups)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    stepped(half, again)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, half.get_parameter(name)), name


@pytest.mark.parametrize("named", [True, False], ids=["of today", "of before groups knew names"])
def test_the_state_of_one_group_goes_to_the_right_parameters_of_two(named: bool):
    module = network()
    old = AdamW(module.named_parameters() if named else module.parameters(), lr=1.0, weight_decay=0.3)
    stepped(module, old, 2)
    new = optimizer_of(module, no_decay=NO_DECAY)
    new.load_state_dict(old.state_dict())
    for parameter in module.parameters():
        assert torch.equal(new.state[parameter]["exp_avg"], old.state[parameter]["exp_avg"])
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in new.param_groups} == {
        "rest": (1e-2, 0.1), "no_decay": (1e-2, 0.0)
    }  # fmt: skip
    back = optimizer_of(module)   # and from two groups to one
    back.load_state_dict(new.state_dict())
    for parameter in module.parameters():
        assert torch.equal(back.state[parameter]["exp_avg"], old.state[parameter]["exp_avg"])


def test_each_group_keeps_its_own_rate_under_a_schedule_and_where_a_run_goes_on_at_another():
    def rates(lr: float) -> tuple[Optimizer, Rates]:
        optimizer = optimizer_of(network(), partial(SGD, lr=lr), slow=ParameterGroup("norm", lr=0.1))
        factors = [partial(schedule, total_steps=9) for schedule in (Constant(warmup_steps=3), Cosine())]
        return optimizer, Rates(optimizer, factors)

    optimizer, schedule = rates(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.1]
    optimizer.step()
    schedule.step()
    again, resumed = rates(8.0)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert [group["lr"] for group in again.param_groups] == [4.0, 0.1 * Cosine()(1, 9)]


@pytest.mark.parametrize(("groups", "message"), [
    ({"mine": ParameterGroup("Linaer.weight")},
     r"parameter_groups.mine.match=Linaer.weight: fits no parameter; the nearest are Linear.weight, "),
    ({"a": ParameterGroup("norm", lr=1.0), "b": ParameterGroup("bias", lr=1.0)},
     r"parameter_groups.b and parameter_groups.a both fit norm.bias"),
    ({"rest": ParameterGroup("norm", lr=1.0)}, r"parameter_groups.rest: this is what the parameters of no group are"),
    ({"a": ParameterGroup("norm", betas=[0.5, 0.9])},
     r"parameter_groups.a.betas=\[0.5, 0.9\]: the optimiser has no such option \(there are: dampening, "),
])  # fmt: skip
def test_a_group_that_cannot_be_is_one_line(groups: dict[str, ParameterGroup], message: str):
    with pytest.raises(ConfigError, match=message):
        optimizer_of(network(), partial(SGD, lr=0.1), **groups)


def test_scaled_gradients_are_unscaled_and_a_step_with_infinite_ones_is_left_out():
    """As in half precision: what the scaler does to one optimiser it does to several."""
    groups = {"matrices": ParameterGroup(r"Linear\.weight$", optimizer=partial(Muon, lr=0.02))}
    plain, scaled = network(), network()
    stepped(plain, optimizer_of(plain, **groups), 1)
    optimizer, scaler = optimizer_of(scaled, **groups), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    scaler.scale(scaled(torch.tensor([[0, 1, 4]])).square().sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter, scaled.get_parameter(name))
    scaled.hidden.weight.grad.fill_(float("inf"))   # of one optimiser; the other does not step either
    before = scaled.conv.weight.clone()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert torch.equal(scaled.conv.weight, before)


def test_a_rule_for_many_models_may_fit_none_of_the_parameters():
    assert set(groups_of(network(), {"a": ParameterGroup("nothing", required=False)}).values()) == {"rest"}


def test_a_rule_for_many_models_means_nothing_to_an_optimiser_without_its_option():
    rule = ParameterGroup("bias", weight_decay=0.0, required=False)
    assert names(optimizer_of(network(), Rprop, no_decay=rule)).keys() == {"rest"}


def test_what_an_optimiser_says_of_its_parameters_is_told_with_its_group():
    with pytest.raises(Refused, match=r"parameter_groups\.all") as refused:
        optimizer_of(network(), all=ParameterGroup("weight", optimizer=Muon))
    assert "Muon only supports 2D" in str(refused.value.__cause__)


def test_what_is_no_regular_expression_is_named():
    with pytest.raises(ValueError, match=r"match=\(: no regular expression"):
        ParameterGroup("(")
