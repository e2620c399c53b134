"""What every prior must be: causal, normalised, conditioned, able to learn."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from tests.nn.priors import BUILDERS, CONDITION_CHANNELS, assert_no_blind_spot, build, condition_map, hears

CONDITIONS = ["none", "map", "label"]


def channels(kind: str) -> int:
    return 0 if kind == "none" else CONDITION_CHANNELS


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("name", BUILDERS)
def test_a_prior_sees_only_the_past(name, kind):
    network = build(name, condition_channels=channels(kind))
    heard = hears(network, (3, 5), condition_map(kind, 1, (3, 5)))
    assert not heard.triu().any()
    assert all(heard[i, i - 1] for i in range(1, 15) if i % 5)


@pytest.mark.parametrize("name", ["gated_pixelcnn", "pixelsnail", "pixelsnail_without_attention", "transformer"])
def test_a_prior_without_blind_spot_sees_the_whole_past(name):
    assert_no_blind_spot(build(name), (4, 6))


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("name", BUILDERS)
def test_the_probabilities_of_all_maps_sum_to_one(name, kind):
    network = build(name, num_embeddings=3, condition_channels=channels(kind))
    maps = torch.tensor(list(product(range(3), repeat=4))).view(-1, 2, 2)
    condition = condition_map(kind, 1, (2, 2))
    condition = None if condition is None else condition.expand(len(maps), -1, -1, -1)
    nll = F.cross_entropy(network(maps, condition), maps, reduction="none").sum((1, 2))
    torch.testing.assert_close(nll.neg().exp().sum().item(), 1.0, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_missing_or_unwanted_condition_is_refused(name):
    codes = torch.zeros(1, 3, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="condition_channels=5"):
        build(name, condition_channels=CONDITION_CHANNELS)(codes)
    with pytest.raises(ValueError, match="condition_channels=0"):
        build(name)(codes, condition_map("map", 1, (3, 3)))


@pytest.mark.parametrize("kind", ["map", "label"])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_position_hears_the_condition(name, kind):
    network = build(name, condition_channels=CONDITION_CHANNELS)
    condition = condition_map(kind, 1, (3, 4)).requires_grad_()
    logits = network(torch.randint(6, (1, 3, 4)), condition).flatten(2)
    for i in range(12):
        (gradient,) = torch.autograd.grad(logits[0, 0, i], condition, retain_graph=True)
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", BUILDERS)
def test_no_prior_mixes_samples(name):
    network = build(name).train()
    codes = torch.randint(6, (3, 4, 5))
    torch.testing.assert_close(network(codes)[1:2], network(codes[1:2]))
