"""What is particular to the transformer."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.nn.test_attention import LargestResult
from vqgen.nn.priors.transformer import CausalRotaryAttention, Rotation, Transformer, rotate, rotation


def test_turned_products_depend_on_the_distance_of_rows_and_columns_alone():
    by = rotation((5, 6), 8, torch.zeros(1, dtype=torch.float64))
    query, key = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    scores = (rotate(query.expand(1, 1, 30, 8), by) @ rotate(key.expand(1, 1, 30, 8), by).transpose(2, 3))[0, 0]
    scores = scores.view(5, 6, 5, 6)
    torch.testing.assert_close(scores[1:, 2:, 1:, 2:], scores[:-1, :-2, :-1, :-2])
    assert (scores[0, 0, 1, 0] - scores[0, 0, 0, 1]).abs() > 1e-3  # a row and a column are not the same


def test_a_rotation_keeps_lengths():
    x = torch.randn(2, 3, 20, 8, dtype=torch.float64)
    turned = rotate(x, rotation((4, 5), 8, x))
    torch.testing.assert_close(turned.norm(dim=3), x.norm(dim=3))


def test_attention_is_softmax_over_the_past_of_normalised_queries_and_keys():
    attention, x = CausalRotaryAttention(16, 2).double(), torch.randn(2, 12, 16, dtype=torch.float64)
    by = rotation((3, 4), 8, x)
    query, key, value = attention.input(x).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    query, key = (rotate(F.rms_norm(z, (8,)), by) for z in (query, key))
    scores = (query @ key.transpose(2, 3)) / math.sqrt(8)
    past = torch.ones(12, 12, dtype=torch.bool).tril()
    weights = scores.masked_fill(~past, -torch.inf).softmax(3)
    expected = attention.output((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, by), expected, rtol=0, atol=1e-7)


def test_the_first_rows_of_a_map_are_a_map_and_another_grid_can_be_drawn():
    network = Transformer(6, 0, 16, 2, 2).double().eval()
    codes = torch.randint(6, (2, 5, 4))
    torch.testing.assert_close(network(codes[:, :3]), network(codes)[:, :, :3])
    assert network(torch.randint(6, (1, 3, 9))).shape == (1, 6, 3, 9)


def test_memory_is_linear_in_the_number_of_positions():
    network = Transformer(6, 0, 16, 1, 2)
    with LargestResult() as largest:
        network(torch.zeros(1, 64, 64, dtype=torch.long))
    assert largest.elements < 64 * 64 * 128


def test_all_codes_start_about_equally_likely():
    torch.manual_seed(0)
    network, codes = Transformer(128, 0, 64, 4, 4).eval(), torch.randint(128, (16, 8, 8))
    assert F.cross_entropy(network(codes), codes).item() == pytest.approx(math.log(128), abs=0.02)


def test_checkpointing_changes_memory_and_not_the_gradients():
    def gradients(checkpointing: bool):
        torch.manual_seed(0)
        network = Transformer(6, 0, 16, 2, 2, dropout=0.3, checkpointing=checkpointing).double()
        codes = torch.arange(2 * 4 * 5).view(2, 4, 5) % 6
        torch.manual_seed(1)
        network(codes).square().sum().backward()
        return [p.grad for p in network.parameters()]

    for plain, checkpointed in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_the_sizes_of_large_recipes_are_built_without_memory():
    with torch.device("meta"):
        network = Transformer(512, 128, 1536, 48, 24)
        assert network(torch.zeros(1, 32, 32, dtype=torch.long), torch.zeros(1, 128, 32, 32)).shape == (1, 512, 32, 32)
    assert sum(p.numel() for p in network.parameters()) > 1.3e9


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="channels=20 is no multiple of 4 x num_heads=2"):
        Transformer(6, channels=20, num_heads=2)


def test_a_rotation_of_one_position_is_that_position_of_all():
    by = rotation((3, 4), 8, torch.zeros(1))
    x = torch.randn(1, 1, 12, 8)
    alone = rotate(x[:, :, 7:8], Rotation(by.cos[7:8], by.sin[7:8]))
    torch.testing.assert_close(alone, rotate(x, by)[:, :, 7:8])
