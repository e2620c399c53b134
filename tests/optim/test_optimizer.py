"""Groups have the options they are given, and each parameter keeps its state where groups change."""

from functools import partial

import pytest
import torch
from torch.optim import AdamW

from tests.optim.small import NO_DECAY, names, network, optimizer_of, stepped
from vqgen.optim import ParameterGroup
from vqgen.optim.optimizer import OptimizerError


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
        "rest": (1e-2, 0.1),
        "no_decay": (1e-2, 0.0),
    }
    back = optimizer_of(module)  # and from two groups to one
    back.load_state_dict(new.state_dict())
    for parameter in module.parameters():
        assert torch.equal(back.state[parameter]["exp_avg"], old.state[parameter]["exp_avg"])


def test_a_group_that_changes_no_option_is_none():
    optimizer = optimizer_of(network(), partial(AdamW, weight_decay=0.0), no_decay=NO_DECAY)
    assert type(optimizer) is AdamW
    assert names(optimizer) == {None: [name for name, _ in network().named_parameters()]}


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


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon is of torch 2.9")
def test_what_an_optimiser_says_of_its_parameters_is_told_with_its_group():
    with pytest.raises(OptimizerError, match=r"parameter_groups\.all") as refused:
        optimizer_of(network(), all=ParameterGroup("weight", optimizer=torch.optim.Muon))
    assert "Muon only supports 2D" in str(refused.value.__cause__)
