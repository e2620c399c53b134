"""Evaluation one position after another gives the logits of the parallel forward."""

import pytest
import torch

from tests.nn.priors import BUILDERS, CONDITION_CHANNELS, build, condition_map
from vqgen.nn.tape import Tape


def stepped(network, codes, condition):
    """Teacher-forced logits, position by position."""
    state = network.start(len(codes), codes.shape[1:], condition)
    logits = []
    for code in codes.flatten(1).unbind(1):
        logits.append(state.logits())
        state.push(code)
    return torch.stack(logits, dim=2).unflatten(2, codes.shape[1:])


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("grid", [(6, 6), (7, 4), (3, 8), (1, 5), (5, 1)])
@pytest.mark.parametrize("kind", ["none", "map", "label"])
@pytest.mark.parametrize("name", BUILDERS)
@torch.no_grad()
def test_stepping_gives_the_logits_of_the_parallel_forward(name, kind, grid, batch):
    network = build(name, condition_channels=0 if kind == "none" else CONDITION_CHANNELS)
    codes, condition = torch.randint(6, (batch, *grid)), condition_map(kind, batch, grid)
    expected = network(codes, condition)
    torch.testing.assert_close(stepped(network, codes, condition), expected, rtol=0, atol=1e-10)
    network, condition = network.float(), None if condition is None else condition.float()
    tolerance = 1e-4 * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(stepped(network, codes, condition).double(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", BUILDERS)
@torch.no_grad()
def test_layers_that_count_as_large_give_the_same_logits(name, monkeypatch):
    monkeypatch.setattr("vqgen.nn.conv_stack.LARGE_FOR_LAYERS", 1)
    network = build(name, condition_channels=CONDITION_CHANNELS)
    codes, condition = torch.randint(6, (3, 5, 4)), condition_map("map", 3, (5, 4))
    torch.testing.assert_close(stepped(network, codes, condition), network(codes, condition), rtol=0, atol=1e-10)


class Repeated:
    """Makes the calls that `compute` made at one position, as a captured graph does."""

    def __init__(self, compute, *inputs):
        compute(*inputs)
        self.tape = Tape(lambda tape, *inputs: compute(*inputs), *inputs)

    def __call__(self, *inputs):
        return self.tape(*inputs)


@pytest.mark.parametrize("grid", [(5, 4), (1, 5), (5, 1)])
@pytest.mark.parametrize("name", BUILDERS)
@torch.no_grad()
def test_the_same_calls_at_every_position_give_the_same_logits(name, grid, monkeypatch):
    monkeypatch.setattr("vqgen.nn.incremental.can_capture", lambda device: True)
    monkeypatch.setattr("vqgen.nn.graph.Graph", Repeated)
    network = build(name, condition_channels=CONDITION_CHANNELS)
    codes, condition = torch.randint(6, (3, *grid)), condition_map("map", 3, grid)
    torch.testing.assert_close(stepped(network, codes, condition), network(codes, condition), rtol=0, atol=1e-10)


@torch.no_grad()
def test_what_cannot_be_captured_is_computed_without(monkeypatch):
    def fail(*args):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr("vqgen.nn.incremental.can_capture", lambda device: True)
    monkeypatch.setattr("vqgen.nn.graph.Graph", fail)
    network, codes = build("pixelsnail"), torch.randint(6, (3, 4, 4))
    with pytest.warns(UserWarning, match="takes longer: operation not permitted when stream is capturing$"):
        logits = stepped(network, codes, None)
    torch.testing.assert_close(logits, network(codes), rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_normalised_weight_is_the_same_in_both_evaluations():
    network = build("pixelsnail")
    for block in network.blocks:
        if hasattr(block, "conv"):
            torch.nn.utils.parametrizations.weight_norm(block.conv, "above")
            torch.nn.utils.parametrizations.weight_norm(block.conv, "own")
    codes = torch.randint(6, (2, 5, 4))
    torch.testing.assert_close(stepped(network, codes, None), network(codes), rtol=0, atol=1e-10)
