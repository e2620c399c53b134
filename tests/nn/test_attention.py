"""Causal attention is softmax over the past, in memory linear in the number of positions."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vqgen.drawing.stepwise.attention import attention_stack
from vqgen.nn.priors.attention import CausalAttention
from vqgen.nn.priors.pixelsnail import PixelSNAIL


class LargestResult(TorchDispatchMode):
    """Counts the elements of the largest tensor any operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.numel())
        return result


def brute_force(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Attention with the matrix of weights written out."""
    query, key, value = x.flatten(2).unflatten(1, (3, num_heads, -1)).unbind(1)
    scores = query.transpose(2, 3) @ key / math.sqrt(query.shape[2])
    past = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    weights = scores.masked_fill(~past, -torch.inf).softmax(-1)
    return (value @ weights.transpose(2, 3)).flatten(1, 2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_attention_is_the_softmax_over_the_past(memory_format):
    x = torch.randn(2, 3 * 8, 3, 5, dtype=torch.float64).to(memory_format=memory_format)
    torch.testing.assert_close(CausalAttention(8, 4)(x), brute_force(x, 4))


def test_the_first_position_attends_to_itself():
    x = torch.randn(2, 3 * 8, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(CausalAttention(8, 4)(x)[:, :, 0, 0], x[:, 16:, 0, 0])


@torch.no_grad()
def test_stepping_through_a_map_is_attention_in_parallel():
    layer, x = CausalAttention(8, 4), torch.randn(3, 3 * 8, 4, 5, dtype=torch.float64)
    state, results = attention_stack(layer, 3, (4, 5), by_tensor=False), []
    for row in range(4):
        state.begin_row([None])
        for column in range(5):
            state.begin(5 * row + column)
            results.append(state.step(0, x[:, :, row, column]))
    torch.testing.assert_close(torch.stack(results, dim=2).unflatten(2, (4, 5)), layer(x))


@pytest.mark.parametrize("training", [False, True])
def test_memory_grows_linearly_on_a_level_of_64x64(training):
    network = PixelSNAIL(16, 0, 8, 8, 3, 1, 1, 2, 8, dropout=0.3).train(training)

    def largest(height: int) -> int:
        with LargestResult() as seen, torch.set_grad_enabled(training):
            logits = network(torch.randint(16, (1, height, 64)))
            if training:
                logits.sum().backward()
        return seen.elements

    assert largest(64) <= 2.1 * largest(32) < 64 * 64 * 200


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="channels=6 is no multiple of num_heads=4"):
        CausalAttention(6, 4)
