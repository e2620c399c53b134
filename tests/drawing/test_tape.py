"""A tape gives what the function gives, for all inputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vqgen.drawing.stepwise.tape import Tape


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 8) for _ in range(2))
        self.dropout = nn.Dropout(0.5)

    def forward(self, tape, x, y):
        for layer in self.layers:
            signal, opening = self.dropout(layer(F.elu(x))).chunk(2, dim=1)
            x = x + tape.call(torch.mul, torch.tanh(signal), opening)
        return torch.cat([F.glu(x, dim=1), 1 - y], dim=1)


def test_a_tape_repeats_the_function_with_other_values():
    network, inputs = Network().eval(), torch.randn(5, 2, 3, 4)
    tape = Tape(network, *inputs[0])
    assert torch.equal(tape.first, network(Direct(), *inputs[0]))
    for x, y in inputs:
        assert torch.equal(tape(x, y), network(Direct(), x, y))


class Direct:
    def call(self, function, *args):
        return function(*args)


def test_what_a_call_does_inside_is_not_noted():
    tape = Tape(lambda tape, x: tape.call(lambda x: x.exp().log().sin(), x), torch.ones(3))
    assert len(tape.calls) == 1
    assert torch.equal(tape(torch.zeros(3)), torch.zeros(3))


def test_dropout_is_no_call():
    tape = Tape(lambda tape, x: F.relu(nn.Dropout(0.5).eval()(x)), torch.ones(3))
    assert len(tape.calls) == 1


def test_a_tensor_by_keyword_is_refused():
    with pytest.raises(TypeError, match="give it by position"):
        Tape(lambda tape, x: torch.add(x, other=x), torch.ones(3))
