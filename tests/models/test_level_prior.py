"""Drawing from weights in bfloat16, of every prior: the same probabilities, as far as 8 bits of a number tell."""

import warnings
from typing import Any

import pytest
import torch
from jaxtyping import Int
from omegaconf import OmegaConf
from torch import Tensor

from tests.conftest import composed
from tests.models.test_without_host import FACTS, OF_CODES
from vqgen import open_trained
from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import ConditionedNetwork, Draw, FixedPoint, Halton, KnownCodes, Raster, Sampling
from vqgen.nn.precision import in_bfloat16
from vqgen.nn.priors import MaskedNetwork
from vqgen.protocols import AutoregressivePrior, priors_of
from vqgen.runs.checkpoint import build

UPPER, GRID, NUM_EMBEDDINGS, SIZE = (2, 4), (4, 8), 8, 3
STEP = 2.0**-8  # between numbers of bfloat16, in parts of them


@pytest.fixture(autouse=True)
def a_cpu_with_bfloat16_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqgen.devices.has_bfloat16_units", lambda: True)


def lower(name: str) -> Any:
    """The prior of conf/model of the lower of two levels."""
    cfg = composed([*OF_CODES[name], "model.conditioner.channels=8", "run_dir=x", "tokenizer=x"])
    cfg.facts = {**cfg.facts, **FACTS, "upper_grids": [UPPER], "upper_num_embeddings": [NUM_EMBEDDINGS]}
    torch.manual_seed(0)
    model = build(OmegaConf.to_container(cfg, resolve=True)["model"], "model").eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(1.5)  # otherwise all codes are nearly equally likely
    return priors_of(model)[-1]


def given() -> Condition:
    return Condition([torch.arange(SIZE * 8).view(SIZE, *UPPER) % NUM_EMBEDDINGS], {"label": torch.arange(SIZE)})


def codes() -> Int[Tensor, "b h w"]:
    return torch.randint(NUM_EMBEDDINGS, (SIZE, *GRID), generator=torch.Generator().manual_seed(1))


def stepped(prior: AutoregressivePrior) -> Tensor:
    """Logits of the maps, position by position."""
    state, logits = prior.begin(SIZE, given()), []
    for code in codes().flatten(1).unbind(1):
        logits.append(state.logits())
        state.push(code)
    return torch.stack(logits, dim=2).unflatten(2, GRID)


@pytest.mark.parametrize("name", OF_CODES)
def test_every_prior_has_nearly_the_same_logits_in_bfloat16_by_forward_and_by_steps(name: str):
    prior = lower(name)
    logits, half = prior(codes(), given()), in_bfloat16(prior)
    tolerance = 2 * STEP * logits.std()
    assert (half(codes(), given()).float() - logits).abs().mean() < tolerance
    if isinstance(prior, AutoregressivePrior):
        assert (stepped(half) - logits).abs().mean() < tolerance


@pytest.mark.parametrize("name", OF_CODES)
def test_every_prior_draws_from_weights_in_bfloat16_by_every_sampler_and_keeps_its_own(name: str):
    prior, known = lower(name), KnownCodes(torch.rand(SIZE, *GRID) < 0.3, codes())
    half = Sampling(temperature=0.9, top_k=6, top_p=0.95, guidance=2.0, precision="bfloat16")
    for sampler in (None, Halton(3)) if name == "masked" else (None, Raster(), FixedPoint()):
        drawn = prior.sample(SIZE, given(), half, sampler=sampler, known=known)
        assert ((drawn >= 0) & (drawn < NUM_EMBEDDINGS)).all()
        assert torch.equal(drawn[known.mask], known.codes[known.mask])
    assert {parameter.dtype for parameter in prior.parameters()} == {torch.float32}
    assert prior(codes(), given()).dtype == torch.float32


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("name", OF_CODES)
def test_a_sampler_is_given_logits_in_float32_of_weights_in_bfloat16(name: str, guidance: float):
    found: list[Tensor] = []

    def ask(model: ConditionedNetwork, draw: Draw) -> Int[Tensor, "b h w"]:
        assert {parameter.dtype for parameter in model.network.parameters()} == {torch.bfloat16}
        if isinstance(model.network, MaskedNetwork):
            found.append(model.masked_logits(codes(), 0.5))
        else:
            found.extend([model.logits(codes()), model.begin(SIZE, draw.grid).logits()])
        return codes()

    lower(name).sample(SIZE, given(), Sampling(guidance=guidance, precision="bfloat16"), sampler=ask)
    assert {logits.dtype for logits in found} == {torch.float32}


def test_the_released_prior_finds_its_maps_as_likely_in_bfloat16():
    (prior,) = open_trained("fashion_vqvae_transformer", device="cpu").priors
    label = {"label": torch.arange(200) % 10}
    batch = CodeBatch([prior.sample(200, Condition(given=label))], label, torch.arange(200))
    with torch.no_grad():
        difference = in_bfloat16(prior).nll(batch) - prior.nll(batch)  # type: ignore[type-var]
    assert difference.dtype == torch.float32
    assert difference.mean().abs() < 0.002  # nats per code, of 1.5
    assert 0.001 < difference.abs().mean() < 0.02


def test_a_cpu_without_bfloat16_units_is_warned_of_where_it_is_to_draw(monkeypatch: pytest.MonkeyPatch):
    prior, half = lower("pixelcnn"), Sampling(precision="bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior.sample(SIZE, given(), half)
        monkeypatch.setattr("vqgen.devices.has_bfloat16_units", lambda: False)
        prior.sample(SIZE, given())
    with pytest.warns(UserWarning, match=r"precision=bfloat16: this CPU has no bfloat16 units"):
        prior.sample(SIZE, given(), half)
