"""Several optimisers step as one, and as each would alone."""

from functools import partial
from pathlib import Path

import pytest
import torch

from tests.optim.small import ADAMW, NO_DECAY, names, network, optimizer_of, stepped
from vqgen.optim import Composite, ParameterGroup

if not hasattr(torch.optim, "Muon"):
    pytest.skip("Muon is of torch 2.9", allow_module_level=True)
Muon = torch.optim.Muon


def test_groups_train_as_optimisers_of_their_own_would():
    matrices = ParameterGroup(r"Linear\.weight$", optimizer=partial(Muon, lr=0.02))
    one, other = network(), network()
    optimizer = optimizer_of(one, matrices=matrices)
    assert type(optimizer) is Composite
    assert names(optimizer)["matrices"] == ["hidden.weight"]
    stepped(one, optimizer)
    parts = [
        ADAMW(p for name, p in other.named_parameters() if name != "hidden.weight"),
        Muon([other.hidden.weight], lr=0.02),
    ]
    for _ in range(3):
        other.zero_grad()
        other(torch.tensor([[0, 1, 4]])).square().sum().backward()
        for part in parts:
            part.step()
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name


def test_a_state_of_several_optimisers_is_plain_and_goes_on_as_if_it_had_not_stopped(tmp_path: Path):
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
    scaled.hidden.weight.grad.fill_(float("inf"))  # of one optimiser; the other does not step either
    before = scaled.conv.weight.clone()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert torch.equal(scaled.conv.weight, before)
