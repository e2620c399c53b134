"""Entropy-constrained codes: the choice by hand, what it saves, and what the fingerprint knows of it."""

from functools import partial

import pytest
import torch
from torch import Tensor

from vqgen.nn.quantize import CosineEMAQuantizer, EMAQuantizer, RotationEMAQuantizer

KINDS = [EMAQuantizer, CosineEMAQuantizer, RotationEMAQuantizer]


def made(kind: type[EMAQuantizer], **options: float) -> EMAQuantizer:
    torch.manual_seed(0)
    quantizer = kind(12, 3, **options)
    quantizer.codebook.copy_(quantizer.project(torch.randn(12, 3)))
    quantizer.counts.copy_(torch.rand(12) * 50 + 0.1)
    quantizer.num_updates.fill_(1)
    return quantizer


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_is_that_of_least_distance_and_bits(kind: type[EMAQuantizer]):
    quantizer = made(kind, rate_weight=0.2).eval()
    z_e = torch.randn(2, 3, 4, 5)
    x = quantizer.project(z_e).double().permute(0, 2, 3, 1).reshape(-1, 3)
    vectors, shares = quantizer.codebook.double(), quantizer.counts.double() / quantizer.counts.double().sum()
    mean = (shares[:, None] * vectors).sum(0)
    variance = (shares * (vectors - mean).square().sum(1)).sum()
    costs = (x[:, None] - vectors).square().sum(2) - 0.2 * variance * shares.log2()
    assert torch.equal(quantizer.nearest(z_e).flatten(), costs.argmin(1))
    assert torch.equal(quantizer(z_e).codes, quantizer.nearest(z_e))
    assert not torch.equal(made(kind).eval().nearest(z_e).flatten(), costs.argmin(1))


def test_the_scale_and_the_place_of_the_features_do_not_matter():
    quantizer, moved = made(EMAQuantizer, rate_weight=0.2).eval(), made(EMAQuantizer, rate_weight=0.2).eval()
    moved.codebook.mul_(40).add_(3)
    z_e = torch.randn(2, 3, 4, 5)
    assert torch.equal(quantizer.nearest(z_e), moved.nearest(40 * z_e + 3))


@pytest.mark.parametrize("kind", KINDS)
def test_more_weight_spends_fewer_bits_and_more_error(kind: type[EMAQuantizer]):
    def learnt(rate_weight: float) -> tuple[Tensor, Tensor]:
        quantizer = kind(32, 2, rate_weight=rate_weight, revive_below=0.0, decay=0.9)
        draw = partial(torch.randn, 64, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        for _ in range(60):
            quantizer(draw())
        last = draw()
        found = quantizer.eval()(last)
        shares = torch.bincount(found.codes.flatten(), minlength=32) / found.codes.numel()
        return torch.special.entr(shares).sum(), (found.z_q - quantizer.project(last)).square().mean()

    found = [learnt(weight) for weight in (0.0, 0.03, 0.3)]
    entropies, errors = torch.tensor(found).T
    assert (entropies.diff() < -0.05).all(), entropies
    assert (errors.diff() > 0).all(), errors


def test_the_fingerprint_knows_the_counts_where_they_choose_the_codes():
    def learning(quantizer: EMAQuantizer) -> set[int]:
        return {id(tensor) for tensor in quantizer.learning_state()}

    plain, constrained = made(EMAQuantizer), made(EMAQuantizer, rate_weight=0.1)
    assert id(plain.counts) in learning(plain)
    assert id(constrained.counts) not in learning(constrained)
    assert id(constrained.sums) in learning(constrained)
    assert constrained.rule != made(EMAQuantizer, rate_weight=0.2).rule != plain.rule == ""


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"rate_weight=-0\.1 must be at least 0"):
        EMAQuantizer(4, 2, rate_weight=-0.1)
