"""Evaluation one position after another gives the logits of the parallel forward."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.nn.priors import BUILDERS, CONDITION_CHANNELS, build, condition_map
from vqgen.drawing import Recompute, begin
from vqgen.drawing.stepwise.conv_stack import conv_stack
from vqgen.drawing.stepwise.graph import WARM_UPS
from vqgen.nn.priors.causal import CausalConv2d


def stepped(network, codes, condition):
    """Teacher-forced logits, position by position."""
    state = begin(network, len(codes), codes.shape[1:], condition)
    assert not isinstance(state, Recompute)
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
    monkeypatch.setattr("vqgen.drawing.stepwise.conv_stack.LARGE_FOR_LAYERS", 1)
    network = build(name, condition_channels=CONDITION_CHANNELS)
    codes, condition = torch.randint(6, (3, 5, 4)), condition_map("map", 3, (5, 4))
    torch.testing.assert_close(stepped(network, codes, condition), network(codes, condition), rtol=0, atol=1e-10)


class Unread(TorchDispatchMode):
    """Fails where a value is read from a tensor, on which the calls that follow could depend."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value was read"
        return func(*args, **(kwargs or {}))


class Repeated:
    """Computes again, with inputs that stay in place, as a graph does, after some runs before."""

    def __init__(self, compute, *inputs):
        self.compute, self.inputs = compute, [x.clone() for x in inputs]
        for _ in range(WARM_UPS):
            compute(*self.inputs)

    def __call__(self, *inputs):
        for place, x in zip(self.inputs, inputs, strict=True):
            place.copy_(x)
        with Unread():
            return self.compute(*self.inputs).clone()


@pytest.mark.parametrize("grid", [(5, 4), (1, 5), (5, 1)])
@pytest.mark.parametrize("name", BUILDERS)
@torch.no_grad()
def test_the_same_calls_at_every_position_give_the_same_logits(name, grid, monkeypatch):
    monkeypatch.setattr("vqgen.drawing.stepwise.positions.can_capture", lambda device: True)
    monkeypatch.setattr("vqgen.drawing.stepwise.graph.Graph", Repeated)
    network = build(name, condition_channels=CONDITION_CHANNELS)
    codes, condition = torch.randint(6, (3, *grid)), condition_map("map", 3, grid)
    torch.testing.assert_close(stepped(network, codes, condition), network(codes, condition), rtol=0, atol=1e-10)


@torch.no_grad()
def test_what_cannot_be_captured_is_computed_without(monkeypatch):
    def fail(*args):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr("vqgen.drawing.stepwise.positions.can_capture", lambda device: True)
    monkeypatch.setattr("vqgen.drawing.stepwise.graph.Graph", fail)
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


@pytest.mark.parametrize("by_tensor", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 1), (1, 3), (3, 3)])
@torch.no_grad()
def test_a_layer_of_any_window_steps_as_it_convolves(rows, columns, by_tensor):
    layers = [CausalConv2d(4, 4, rows, columns).double() for _ in range(2)]
    x = torch.randn(2, 3, 4, 4, 5, dtype=torch.float64)
    stack, results = conv_stack(layers, 3, (4, 5), by_tensor), []
    for position in range(20):
        row, column = divmod(position, 5)
        if column == 0:
            stack.begin_row([None, None])
        stack.begin(torch.tensor([position]) if by_tensor else position)
        results.append(torch.stack([stack.step(k, x[k, :, :, row, column]).clone() for k in range(2)]))
        stack.end()
    for k, layer in enumerate(layers):
        stepped = torch.stack([result[k] for result in results], dim=2).unflatten(2, (4, 5))
        torch.testing.assert_close(stepped, layer(x[k]))
