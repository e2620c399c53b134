"""What is particular to PixelSNAIL."""

import math

import pytest
import torch
import torch.nn.functional as F

from vqgen.nn.priors.attention import CausalAttention
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.priors.positions import POSITION_CHANNELS, position_features


def test_positions_are_told_apart_and_do_not_depend_on_the_size_of_the_map():
    features = position_features((64, 64), like=torch.zeros(1, dtype=torch.float64))
    assert features.shape == (1, POSITION_CHANNELS, 64, 64)
    distance = torch.cdist(*2 * [features[0].flatten(1).t()]) + 10 * torch.eye(64 * 64)
    assert distance.min() > 0.01
    smaller = position_features((5, 7), like=features)
    assert torch.equal(smaller, features[:, :, :5, :7])


def test_the_first_rows_of_a_map_are_a_map():
    network = PixelSNAIL(6, 0, 8, 8, 3, 2, 1, 2, 4).double().eval()
    codes = torch.randint(6, (2, 5, 4))
    torch.testing.assert_close(network(codes[:, :3]), network(codes)[:, :, :3])


def test_checkpointing_changes_memory_and_not_the_gradients():
    def gradients(checkpointing: bool):
        torch.manual_seed(0)
        network = PixelSNAIL(6, 0, 8, 8, 3, 2, 1, 2, 4, dropout=0.3, checkpointing=checkpointing).double()
        codes = torch.arange(2 * 4 * 5).view(2, 4, 5) % 6
        torch.manual_seed(1)
        network(codes).square().sum().backward()
        return [p.grad for p in network.parameters()]

    for plain, checkpointed in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize("num_attention_layers", [0, 1, 2, 4])
def test_attention_is_spread_evenly_between_the_residual_blocks(num_attention_layers):
    network = PixelSNAIL(6, 0, 8, 8, 3, 4, num_attention_layers, 2, 4)
    places = [i for i, block in enumerate(network.blocks) if hasattr(block, "attention")]
    step = 5 if num_attention_layers == 0 else 4 // num_attention_layers + 1
    assert places == [step * (i + 1) - 1 for i in range(num_attention_layers)]
    assert sum(isinstance(m, CausalAttention) for m in network.modules()) == num_attention_layers


def test_attention_that_cannot_be_spread_evenly_is_refused():
    with pytest.raises(ValueError, match="num_layers=5 is no multiple of num_attention_layers=2"):
        PixelSNAIL(6, num_layers=5, num_attention_layers=2)


def test_the_published_sizes_are_built_without_memory():
    with torch.device("meta"):
        network = PixelSNAIL(512, 0, 512, 2048, 5, 20, 4, 8, 512, 20, 0.1)
    assert sum(p.numel() for p in network.parameters()) > 5e8


def test_without_attention_a_code_of_one_row_up_and_three_to_the_right_is_learnt():
    torch.manual_seed(0)
    network = PixelSNAIL(8, 0, 24, 24, 5, 2, 0, dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(60):
        row = torch.randint(8, (32, 12))
        codes = torch.stack([row[:, :9], row[:, 3:]], dim=1)
        loss = F.cross_entropy(network(codes)[:, :, 1:, :6], codes[:, 1:, :6])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * math.log(8)


def test_checkpointing_serves_the_vertical_stream_too(monkeypatch):
    seen = []

    def note(block, *given, use_reentrant):
        seen.append(block)
        return block(*given)

    monkeypatch.setattr("vqgen.nn.priors.pixelsnail.checkpoint", note)
    network = PixelSNAIL(6, 0, 8, 8, 3, 2, 0, checkpointing=True)
    network(torch.zeros(1, 3, 3, dtype=torch.long))
    assert seen == [*network.vertical[1:], *network.blocks, *network.output_blocks]
