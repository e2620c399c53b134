"""Drawing codes: the right distribution, the same for the same seed, and what is known is kept."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.nn.priors import BUILDERS, CONDITION_CHANNELS, build, condition_map
from vqgen.drawing import (
    FixedPoint,
    IntervalGuidance,
    KnownCodes,
    LinearGuidance,
    Raster,
    Sampling,
    sample_codes,
    sample_seeds,
)
from vqgen.drawing.sampling import cumulated, draw, restrict
from vqgen.errors import UserError

GRID = (4, 5)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_sample_depends_on_its_seed_and_on_nothing_beside_it(name):
    network = build(name)
    together = sample_codes(network, GRID, 5, seeds=sample_seeds(7, range(5)))
    alone = sample_codes(network, GRID, 1, seeds=sample_seeds(7, [3]))
    assert torch.equal(together[3:4], alone)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together, sample_codes(network, GRID, 5, seeds=sample_seeds(8, range(5))))


def test_without_seeds_the_default_generator_decides():
    network = build("pixelcnn")
    torch.manual_seed(3)
    first, second = sample_codes(network, GRID, 2), sample_codes(network, GRID, 2)
    torch.manual_seed(3)
    assert torch.equal(first, sample_codes(network, GRID, 2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", BUILDERS)
def test_what_is_known_is_kept_and_the_rest_follows_from_it(name):
    network = build(name)
    mask, codes = torch.rand(3, *GRID) < 0.5, torch.randint(6, (3, *GRID))
    seeds = sample_seeds(0, range(3))
    completed = sample_codes(network, GRID, 3, known=KnownCodes(mask, codes), seeds=seeds)
    assert torch.equal(completed[mask], codes[mask])
    free = sample_codes(network, GRID, 3, seeds=seeds)
    assert torch.equal(free, sample_codes(network, GRID, 3, known=KnownCodes(mask, free), seeds=seeds))
    everything = KnownCodes(torch.ones_like(mask), codes)
    assert torch.equal(sample_codes(network, GRID, 3, known=everything), codes)


def test_a_drawn_map_follows_the_probabilities_of_the_network():
    network = build("gated_pixelcnn", num_embeddings=2)
    count = 8000
    codes = sample_codes(network, (1, 2), count, seeds=range(count))
    maps = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).view(4, 1, 2)
    with torch.no_grad():
        nll = F.cross_entropy(network(maps), maps, reduction="none").sum((1, 2))
    share = torch.stack([(codes == m).all(2).all(1).double().mean() for m in maps])
    assert (share - nll.neg().exp()).abs().max() < 4 * 0.5 / count**0.5


def test_draw_inverts_the_cumulative_distribution():
    logits = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).log().expand(6, 4)
    uniform = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 1 - 1e-12], dtype=torch.float64).unsqueeze(1)
    assert draw(logits, uniform).tolist() == [0, 0, 2, 2, 3, 3]


def test_restriction_keeps_the_likeliest_codes():
    logits = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).log()

    def kept(**options):
        return restrict(logits, **options).isfinite()[0].tolist()

    assert kept(top_k=2, top_p=None) == [False, True, True, False]
    assert kept(top_k=None, top_p=0.65) == [False, True, True, False]
    assert kept(top_k=None, top_p=0.75) == [False, True, True, True]
    assert kept(top_k=3, top_p=1e-6) == [False, True, False, False]
    assert kept(top_k=9, top_p=1.0) == [True] * 4
    assert kept(min_p=0.4) == [False, True, True, True]
    assert kept(min_p=0.6) == [False, True, True, False]
    assert kept(min_p=0.0) == [True] * 4
    assert kept(min_p=1.0) == [False, True, False, False]


def test_ties_do_not_let_top_k_keep_more():
    assert restrict(torch.zeros(2, 5), 2, None).isfinite().sum(1).tolist() == [2, 2]


def test_a_low_temperature_draws_the_likeliest_code():
    network = build("pixelcnn")
    cold = sample_codes(network, GRID, 2, sampling=Sampling(temperature=1e-3))
    assert torch.equal(cold, sample_codes(network, GRID, 2, sampling=Sampling(top_k=1)))


def test_guidance_moves_from_the_unconditional_to_beyond_the_conditional():
    network = build("pixelsnail", condition_channels=CONDITION_CHANNELS)
    condition, unconditional = condition_map("label", 2, GRID), condition_map("label", 2, GRID)
    seeds = sample_seeds(0, range(2))

    def sample(first, guidance):
        sampling = Sampling(guidance=guidance)
        return sample_codes(network, GRID, 2, first, unconditional=unconditional, sampling=sampling, seeds=seeds)

    assert torch.equal(sample(condition, 0.0), sample_codes(network, GRID, 2, unconditional, seeds=seeds))
    assert torch.equal(sample(condition, 1.0), sample_codes(network, GRID, 2, condition, seeds=seeds))
    assert torch.equal(sample(unconditional, 7.0), sample_codes(network, GRID, 2, unconditional, seeds=seeds))
    assert not torch.equal(sample(condition, 1.0), sample(condition, 7.0))


def test_one_condition_serves_all_samples():
    network = build("pixelsnail", condition_channels=CONDITION_CHANNELS)
    condition, seeds = condition_map("map", 1, GRID), sample_seeds(0, range(3))
    repeated = sample_codes(network, GRID, 3, condition.expand(3, -1, -1, -1), seeds=seeds)
    assert torch.equal(sample_codes(network, GRID, 3, condition, seeds=seeds), repeated)


def test_the_bar_counts_rows(capsys):
    sample_codes(build("pixelcnn"), GRID, 1, progress=True)
    assert "rows" in capsys.readouterr().err
    sample_codes(build("pixelcnn"), GRID, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"min_p": -0.5}, "min_p=-0.5"),
        ({"precision": "bf16"}, r"precision=bf16 .*\(did you mean bfloat16\?\)"),
        ({"seeds": [1]}, "seeds has 1 entries, num_samples=2"),
        ({"guidance": 2.0}, "guidance=2.0 needs a prior with labels"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    settings = {name: value for name, value in options.items() if name != "seeds"}
    with pytest.raises(ValueError, match=message):
        sample_codes(build("pixelcnn"), GRID, 2, sampling=Sampling(**settings), seeds=options.get("seeds"))


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval"):
        sample_codes(build("pixelcnn").train(), GRID, 2)


def test_no_two_of_purpose_seed_level_and_index_share_a_stream():
    seeds = [0, 1, 2, 7, 2**32, 2**32 + 1, 2**40]
    keys = product(seeds, range(4), ["codes", "latents"])
    streams = [s for seed, level, purpose in keys for s in sample_seeds(seed, range(40), level, purpose)]
    first = [tuple(np.random.default_rng(stream).random(2)) for stream in streams]
    assert len({*first}) == len(streams)


def test_all_of_a_seed_counts():
    network = build("pixelcnn", num_embeddings=64)
    drawn = [sample_codes(network, GRID, 1, seeds=[seed]) for seed in (5, 5 + 2**32, 5 + 2**40)]
    assert not any(torch.equal(a, b) for a, b in zip(drawn, [*drawn[1:], drawn[0]], strict=True))


@pytest.mark.parametrize("sampler", [Raster(), FixedPoint()])
def test_a_schedule_of_guidance_is_what_it_is_at_each_position(sampler):
    network = build("pixelsnail", condition_channels=CONDITION_CHANNELS)
    condition, unconditional = condition_map("label", 2, GRID), condition_map("label", 2, GRID)

    def sample(guidance):
        return sample_codes(
            network,
            GRID,
            2,
            condition,
            unconditional=unconditional,
            sampling=Sampling(guidance=guidance),
            sampler=sampler,
            seeds=[0, 1],
        )

    assert torch.equal(sample(LinearGuidance(4.0, 4.0)), sample(4.0))
    late = sample(IntervalGuidance(4.0, 0.5, 1.0))
    assert torch.equal(late[:, :2], sample(1.0)[:, :2])
    assert not torch.equal(late, sample(1.0))


def test_settings_are_of_all_levels_or_of_each():
    sampling = Sampling(temperature=[0.5, 1.0], top_k=3, seed=7)
    assert sampling.of_levels(["top", "bottom"]) == [Sampling(0.5, 3, seed=7), Sampling(1.0, 3, seed=7)]
    assert sampling.changed() == {"temperature": [0.5, 1.0], "top_k": 3}
    with pytest.raises(UserError, match=r"temperature=\[0.5, 1.0\]: give one value, or one for each of the levels"):
        sampling.of_levels(["top"])
    with pytest.raises(UserError, match="this is an option of priors"):
        sampling.of_levels([])
    with pytest.raises(ValueError, match=r"temperature=0\.0"):
        Sampling(temperature=[1.0, 0.0])


def test_where_deterministic_algorithms_are_asked_for_codes_are_drawn_by_sums_of_integers():
    logits = torch.randn(500, 40, generator=torch.Generator().manual_seed(0)) * 3
    uniform = torch.rand(500, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    usual, likeliest = draw(logits, uniform), restrict(logits, top_p=0.7)
    torch.use_deterministic_algorithms(True)
    try:
        probabilities = logits.softmax(1)
        sums = cumulated(probabilities, torch.float64)
        torch.testing.assert_close(sums, probabilities.cumsum(1, dtype=torch.float64), rtol=0, atol=40 * 2**-40)
        assert torch.equal(sums * 2**40, (sums * 2**40).round())
        assert torch.equal(draw(logits, uniform), usual)
        assert torch.equal(restrict(logits, top_p=0.7), likeliest)
    finally:
        torch.use_deterministic_algorithms(False)
