"""What is particular to the RQ-Transformer: several codes of a place."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.nn.priors import CONDITION_CHANNELS, assert_no_blind_spot, condition_map, hears
from tests.nn.test_attention import LargestResult
from vqgen.drawing import Recompute, begin
from vqgen.drawing.stepwise import StepwiseRQTransformer
from vqgen.nn.priors.rq_transformer import RQTransformer


def made(depth: int, num_embeddings: int = 6, condition_channels: int = 0) -> RQTransformer:
    torch.manual_seed(0)
    network = RQTransformer(num_embeddings, condition_channels, depth, 2, 16, 2, 2, dropout=0.0).double().eval()
    for parameter in network.parameters():  # as large as after training, for differences to show
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize(("depth", "grid"), [(2, (3, 4)), (3, (2, 6)), (4, (4, 4)), (4, (1, 8))])
def test_a_code_hears_all_before_it_and_none_after(depth: int, grid: tuple[int, int]):
    network = made(depth)
    assert_no_blind_spot(network, grid)
    assert not hears(network, grid).triu().any()


@pytest.mark.parametrize("kind", ["none", "map", "label"])
@pytest.mark.parametrize(("depth", "grid"), [(2, (3, 4)), (3, (2, 6)), (4, (4, 4)), (5, (1, 5))])
@torch.no_grad()
def test_stepping_gives_the_logits_of_the_parallel_forward(depth: int, grid: tuple[int, int], kind: str):
    network = made(depth, condition_channels=0 if kind == "none" else CONDITION_CHANNELS)
    codes, condition = torch.randint(6, (3, *grid)), condition_map(kind, 3, grid)
    state, logits = begin(network, 3, grid, condition), []
    assert isinstance(state, StepwiseRQTransformer)
    for code in codes.flatten(1).unbind(1):
        logits.append(state.logits())
        state.push(code)
    torch.testing.assert_close(torch.stack(logits, 2).unflatten(2, grid), network(codes, condition), rtol=0, atol=1e-10)
    again = Recompute(network, 3, grid, condition)
    torch.testing.assert_close(again.logits(), logits[0], rtol=0, atol=1e-10)


@torch.no_grad()
def test_the_probabilities_of_all_maps_add_up_to_one():
    network = made(3, num_embeddings=2)
    every = torch.cartesian_prod(*[torch.arange(2)] * 12).view(-1, 2, 6)
    log_p = -F.cross_entropy(network(every), every, reduction="none").sum((1, 2))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_attention_is_over_places_and_over_the_codes_of_one_alone():
    def largest(depth: int) -> int:
        with LargestResult() as result:
            RQTransformer(6, 0, depth, 1, 16, 1, 2)(torch.zeros(1, 16, 16 * depth, dtype=torch.long))
        return result.elements

    assert largest(4) < 4.5 * largest(1)


def test_places_are_taken_in_parts_where_they_are_many(monkeypatch: pytest.MonkeyPatch):
    network, codes = made(2), torch.randint(6, (3, 3, 4))
    whole = network(codes)
    monkeypatch.setattr("vqgen.nn.priors.rq_transformer.SEQUENCES", 4)
    torch.testing.assert_close(network(codes), whole)


def test_all_codes_start_about_equally_likely():
    torch.manual_seed(0)
    network, codes = RQTransformer(128, 0, 4, 2, 64, 4, 4).eval(), torch.randint(128, (16, 8, 32))
    assert F.cross_entropy(network(codes), codes).item() == pytest.approx(math.log(128), abs=0.05)


def test_another_grid_can_be_drawn_if_its_rows_are_of_whole_places():
    network = made(4)
    assert network(torch.randint(6, (1, 3, 12))).shape == (1, 6, 3, 12)
    with pytest.raises(ValueError, match="a row of 6 codes is of no whole number of places of depth=4 codes"):
        network(torch.randint(6, (1, 3, 6)))


@pytest.mark.parametrize("name", ["depth", "depth_layers"])
def test_less_than_one_is_refused(name: str):
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        RQTransformer(6, **{name: 0})
