"""Fréchet and kernel distance and the Inception Score: closed forms and scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from vqgen.measure.metrics.features import (
    frechet_distance,
    inception_score,
    kernel_distance,
    paired_kernel_distance,
)


def _with_moments(n: int, mean: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Vectors of exactly this mean and covariance."""
    x = torch.randn(n, len(mean), dtype=torch.float64)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_two_normal_distributions_is_the_closed_form():
    torch.manual_seed(0)
    a, b = torch.tensor([4.0, 1.0, 9.0]).double(), torch.tensor([1.0, 1.0, 4.0]).double()
    mean = torch.tensor([1.0, -2.0, 0.5]).double()
    distance = frechet_distance(_with_moments(50, torch.zeros(3).double(), a.diag()), _with_moments(70, mean, b.diag()))
    assert distance == pytest.approx(float(mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum()))


def test_the_frechet_distance_agrees_with_the_matrix_root_of_scipy():
    torch.manual_seed(0)
    real, generated = torch.randn(200, 6) @ torch.randn(6, 6), torch.randn(150, 6) @ torch.randn(6, 6) + 1
    covariances = [np.cov(x.double().numpy(), rowvar=False) for x in (real, generated)]
    shift = real.double().mean(0) - generated.double().mean(0)
    expected = shift.square().sum() + sum(map(np.trace, covariances))
    expected -= 2 * np.trace(sqrtm(covariances[0] @ covariances[1])).real
    assert frechet_distance(real, generated) == pytest.approx(float(expected), rel=1e-6)


def test_equal_sets_are_at_distance_zero():
    torch.manual_seed(0)
    x = torch.randn(300, 8)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_of_all_vectors_is_its_brute_force():
    torch.manual_seed(0)
    x, y = torch.randn(40, 5), torch.randn(40, 5) + 0.5

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b.T / 5 + 1) ** 3

    n = len(x)
    within = sum((kernel(a, a).sum() - kernel(a, a).diag().sum()) / (n * (n - 1)) for a in (x, y))
    expected = within - 2 * kernel(x, y).mean()
    assert kernel_distance(x, y, subsets=2) == pytest.approx(float(expected), rel=1e-4)


def test_the_inception_score_is_k_for_sure_and_even_classes_and_1_for_unsure_ones():
    sure = torch.eye(4).repeat(50, 1).clamp(min=1e-9).log()
    assert inception_score(sure, splits=1) == pytest.approx(4.0, rel=1e-4)
    assert inception_score(torch.zeros(80, 4)) == pytest.approx(1.0)


def test_random_parts_leave_the_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    kernel_distance(torch.randn(20, 2, generator=torch.Generator()), torch.randn(20, 2, generator=torch.Generator()))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 30.0), (100.0, 1.0)])
def test_the_kernel_distance_of_large_features_is_that_of_float64(offset: float, scale: float):
    torch.manual_seed(0)
    x, y = scale * torch.randn(200, 16) + offset, scale * torch.randn(200, 16) + offset + 0.1

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a.double() @ b.double().T / 16 + 1) ** 3

    n = len(x)
    within = sum((kernel(a, a).sum() - kernel(a, a).diag().sum()) / (n * (n - 1)) for a in (x, y))
    expected = float(within - 2 * kernel(x, y).mean())
    assert kernel_distance(x, y, subsets=2) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_the_frechet_distance_does_not_know_where_the_features_lie(offset: float):
    """Moments that float32 holds exactly also at the offset; some dimensions are constant."""
    torch.manual_seed(0)
    real, generated = torch.randint(-64, 65, (2, 300, 8)) / 8.0
    real[:, :3], generated[:, :3] = 0.0, 0.0
    here = frechet_distance(real, generated)
    assert frechet_distance(real + offset, generated + offset) == pytest.approx(here, rel=1e-9)


def test_kid_of_reconstructions_is_0_for_perfect_ones_and_right_on_average_for_pairs():
    torch.manual_seed(0)
    x = torch.randn(400, 8)
    assert paired_kernel_distance(x, x) == pytest.approx(0, abs=1e-12)
    assert kernel_distance(x, x, 1, 400) < -1e-3  # which takes them for two draws
    shift = 0.5
    pairs = [paired_kernel_distance(y := torch.randn(60, 8), y + shift, block=30) for _ in range(200)]
    draws = [kernel_distance(torch.randn(1000, 8), torch.randn(1000, 8) + shift, 1) for _ in range(20)]
    error = torch.tensor(pairs).std() / 200**0.5 + torch.tensor(draws).std() / 20**0.5
    assert abs(torch.tensor(pairs).mean() - torch.tensor(draws).mean()) < 3 * error
