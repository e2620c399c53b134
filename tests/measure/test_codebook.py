"""Perplexity and usage of code histograms."""

import pytest
import torch

from vqgen.measure.metrics.codebook import CodebookUsage, usage


def test_uniform_codes_have_perplexity_k_and_full_usage():
    assert usage(torch.full((16,), 5)) == pytest.approx((16.0, 1.0))


def test_one_code_has_perplexity_one():
    assert usage(torch.tensor([0, 9, 0, 0])) == pytest.approx((1.0, 0.25))


def test_perplexity_is_exp_of_the_entropy():
    counts = torch.tensor([1, 2, 3, 4])
    p = counts / 10
    assert usage(counts).perplexity == pytest.approx(float(torch.exp(-(p * p.log()).sum())))


def test_usage_is_of_the_whole_split_and_not_of_a_batch():
    metric = CodebookUsage(8)
    for code in range(8):
        metric.update(torch.full((1, 2, 2), code))
    assert metric.compute().codebook_usage == 1.0
    assert metric.compute().perplexity == pytest.approx(8.0)
