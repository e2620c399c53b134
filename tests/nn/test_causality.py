"""A network that sees what it is to predict is told before it trains."""

import pytest
import torch
from torch import nn

from tests.nn.priors import BUILDERS, CONDITION_CHANNELS, build, condition_map
from vqgen.nn.priors.causality import check_causal


class Leaky(nn.Module):
    """Sees its own code, or one `ahead` of it."""

    def __init__(self, ahead: int = 0):
        super().__init__()
        self.embedding, self.ahead = nn.Embedding(6, 6), ahead

    def forward(self, codes, condition=None):
        seen = codes.flatten(1).roll(-self.ahead, 1).view_as(codes)
        return self.embedding(seen).permute(0, 3, 1, 2)


class Crooked(nn.Module):
    """Its logits stand in the last axis."""

    def forward(self, codes, condition=None):
        return torch.zeros(*codes.shape, 6)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_network_of_ours_passes(name):
    network = build(name, condition_channels=CONDITION_CHANNELS).float()
    check_causal(network, torch.randint(6, (1, 4, 5)), 6, condition_map("map", 1, (4, 5)).float())


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_network_that_sees_its_own_code_or_a_later_one_is_refused(ahead):
    with pytest.raises(ValueError, match="Leaky sees the code that it is to predict"):
        check_causal(Leaky(ahead), torch.randint(6, (1, 4, 5)), 6, None)


def test_logits_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"Crooked gives logits of \[1, 4, 5, 6\], and b k h w is \[1, 6, 4, 5\]"):
        check_causal(Crooked(), torch.randint(6, (1, 4, 5)), 6, None)
