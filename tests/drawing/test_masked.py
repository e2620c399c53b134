"""Drawing masked maps in few steps."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from vqgen.drawing import Confidence, FixedPoint, Halton, KnownCodes, LinearGuidance, Raster, Sampling, sample_codes
from vqgen.drawing.masked import halton_order, masked_share
from vqgen.errors import UserError
from vqgen.nn.priors import MaskedNetwork, MaskedTransformer, PixelCNN

GRID = (4, 5)


def network(num_embeddings: int = 6, condition_channels: int = 0) -> MaskedTransformer:
    """One whose codes depend on each other strongly."""
    torch.manual_seed(0)
    made = MaskedTransformer(num_embeddings, condition_channels, 16, 2, 2, dropout=0.0).double().eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made


class Spy(MaskedNetwork):
    """Keeps the maps that it is asked about."""

    def __init__(self):
        super().__init__(6, 0)
        self.weight = torch.nn.Parameter(torch.randn(6, 1, 1, dtype=torch.float64))
        self.seen = []

    def forward(self, codes, condition=None):
        self.seen.append(codes)
        return self.weight.expand(len(codes), -1, *codes.shape[1:])


@pytest.mark.parametrize("sampler", [Confidence(5), Halton(5)])
def test_after_each_step_a_cosine_of_the_positions_is_masked_and_what_is_drawn_stays(sampler):
    spy = Spy().eval()
    drawn = sample_codes(spy, GRID, 3, sampler=sampler)
    masked = [(codes == 6).sum((1, 2)).tolist() for codes in spy.seen]
    assert masked == [[math.floor(20 * math.cos(math.pi / 2 * t / 5))] * 3 for t in range(5)]
    for before, after in zip(spy.seen, [*spy.seen[1:], drawn], strict=True):
        assert torch.equal(after[before != 6], before[before != 6])
    assert drawn.max() < 6


@pytest.mark.parametrize("sampler", [Confidence(20), Halton(20)])
def test_with_as_many_steps_as_positions_each_draws_one(sampler):
    spy = Spy().eval()
    sample_codes(spy, GRID, 2, sampler=sampler)
    assert [(codes == 6).sum((1, 2)).tolist() for codes in spy.seen] == [[20 - t] * 2 for t in range(20)]


@pytest.mark.parametrize("sampler", [Confidence(4), Halton(4)])
def test_a_sample_depends_on_its_seed_alone_and_keeps_what_is_known(sampler):
    net, seeds = network(), [3, 4, 5]
    together = sample_codes(net, GRID, 3, sampler=sampler, seeds=seeds)
    assert torch.equal(together[1:2], sample_codes(net, GRID, 1, sampler=sampler, seeds=[4]))
    assert not torch.equal(together[0], together[1])
    mask = torch.rand(3, *GRID) < torch.tensor([0.2, 0.5, 1.0])[:, None, None]
    codes = torch.randint(6, (3, *GRID))
    completed = sample_codes(net, GRID, 3, sampler=sampler, known=KnownCodes(mask, codes))
    assert torch.equal(completed[mask], codes[mask])
    assert completed.max() < 6


def test_one_position_at_a_time_the_maps_follow_the_conditionals_of_the_order():
    net, count, order = network(2), 8000, halton_order((1, 3)).flatten().tolist()
    codes = sample_codes(net, (1, 3), count, sampler=Halton(3), seeds=range(count))
    for values in product(range(2), repeat=3):
        log_prob, known = 0.0, torch.full((1, 1, 3), 2)
        for position in sorted(range(3), key=lambda i: order[i]):
            with torch.no_grad():
                log_prob += net(known).log_softmax(1)[0, values[position], 0, position].item()
            known[0, 0, position] = values[position]
        share = (codes == torch.tensor(values)).all(2).double().mean().item()
        assert abs(share - math.exp(log_prob)) < 4 * 0.5 / count**0.5


def test_completion_comes_near_the_posterior_in_its_order():
    """A hole before what is known: a causal prior could not hear it."""
    net, count = network(3), 6000
    known = torch.tensor([[[0, 0, 2]]]).expand(count, -1, -1)
    mask = torch.tensor([[[False, True, True]]]).expand(count, -1, -1)
    codes = sample_codes(net, (1, 3), count, sampler=Confidence(1), known=KnownCodes(mask, known), seeds=range(count))
    with torch.no_grad():
        expected = net(torch.tensor([[[3, 0, 2]]])).softmax(1)[0, :, 0, 0]
        without = net(torch.tensor([[[3, 3, 3]]])).softmax(1)[0, :, 0, 0]
    shares = torch.bincount(codes[:, 0, 0], minlength=3) / count
    variation = (shares - expected).abs().sum() / 2
    assert variation < 0.02
    assert (without - expected).abs().sum() / 2 > 5 * variation


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (8, 8), (16, 8)])
def test_a_halton_order_has_every_position_once(grid):
    assert sorted(halton_order(grid).flatten()) == list(range(grid[0] * grid[1]))


def test_a_halton_order_is_spread_over_the_map_from_the_first():
    first = halton_order((8, 8)) < 12  # a fifth
    assert all(first[r : r + 4, c : c + 4].sum() >= 2 for r in (0, 4) for c in (0, 4))


def test_noise_varies_the_order_and_none_takes_the_surest():
    spy = Spy().eval()
    drawn = sample_codes(spy, GRID, 1, sampler=Confidence(20, noise=0.0), seeds=[0])
    likely = int(spy.weight.argmax())
    first = spy.seen[1][spy.seen[1] != 6]
    assert first.item() == likely or likely not in drawn


def test_guidance_goes_by_the_share_that_is_drawn():
    net = network(6, 5)
    condition, unconditional = torch.randn(2, 1, 5, 1, 1, dtype=torch.float64)
    options = {"condition": condition, "unconditional": unconditional, "seeds": [1, 2], "sampler": Halton(4)}
    plain = sample_codes(net, GRID, 2, condition, seeds=[1, 2], sampler=Halton(4))
    one = sample_codes(net, GRID, 2, sampling=Sampling(guidance=LinearGuidance(1.0, 1.0)), **options)
    assert torch.equal(plain, one)
    asked = []

    def schedule(share: float) -> float:
        asked.append(share)
        return 3.0

    assert not torch.equal(plain, sample_codes(net, GRID, 2, sampling=Sampling(guidance=schedule), **options))
    assert asked == [1 - masked_share(t, 4) for t in range(4)]


def test_samplers_of_one_kind_are_refused_for_priors_of_the_other():
    causal = PixelCNN(6, 0, hidden_channels=8).eval()
    for sampler in (Confidence(4), Halton(4)):
        with pytest.raises(UserError, match="raster or fixed_point"):
            sample_codes(causal, GRID, 1, sampler=sampler)
    for sampler in (Raster(), FixedPoint()):
        with pytest.raises(UserError, match="masked or halton"):
            sample_codes(network(), GRID, 1, sampler=sampler)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="steps=21: a map of 4x5 has 20 positions"):
        sample_codes(network(), GRID, 1, sampler=Confidence(21))
    with pytest.raises(ValueError, match="steps"):
        Halton(0)
    with pytest.raises(ValueError, match="noise=-1"):
        Confidence(noise=-1.0)
    assert sample_codes(network(), (2, 2), 1).shape == (1, 2, 2)  # fewer positions than the usual steps


def test_a_masked_position_hears_the_whole_map_and_not_what_is_masked():
    net = network()
    codes = torch.randint(6, (1, *GRID))
    codes[0, 2, 2] = net.mask_code
    logits = net(codes)[0, :, 2, 2]
    for position in range(20):
        if position != 12:
            other = codes.clone()
            other.view(-1)[position] = (other.view(-1)[position] + 1) % 6
            assert not torch.equal(net(other)[0, :, 2, 2], logits)
    assert F.cross_entropy(net(codes), torch.randint(6, (1, *GRID))).isfinite()
