import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vqgen.nn.posteriors.posterior import (
    MAX_LOG_VAR,
    DiagonalGaussian,
    IAFPosterior,
    free_bits,
    importance_weighted_bound,
    standard_normal_log_prob,
)

NUM_FEATURES, LATENT_DIM = 7, 4


def posteriors():
    torch.manual_seed(0)
    iaf = IAFPosterior(NUM_FEATURES, LATENT_DIM, context_dim=5, hidden_channels=[16], num_steps=3)
    return [DiagonalGaussian(NUM_FEATURES, LATENT_DIM), iaf]


@pytest.mark.parametrize("posterior", posteriors(), ids=lambda one: type(one).__name__)
def test_the_kl_agrees_with_monte_carlo(posterior):
    """The estimate, with log q and log p of many draws, lies within four standard errors."""
    features = torch.randn(1, NUM_FEATURES).expand(40_000, -1)
    with torch.no_grad():
        z, log_q, kl = posterior(features)
    estimates = log_q - standard_normal_log_prob(z)
    error = estimates.std() / len(estimates) ** 0.5
    assert (estimates.mean() - kl.sum(dim=1).mean()).abs() < 4 * error + 1e-5


def test_the_closed_form_kl_is_that_of_torch():
    posterior, features = posteriors()[0], torch.randn(8, NUM_FEATURES)
    mean, log_var = posterior.normal(features)
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(posterior(features).kl, expected)


def test_log_q_of_the_diagonal_posterior_is_that_of_torch():
    posterior, features = posteriors()[0], torch.randn(8, NUM_FEATURES)
    mean, log_var = posterior.normal(features)
    z, log_q, _ = posterior(features)
    torch.testing.assert_close(log_q, Normal(mean, (log_var / 2).exp()).log_prob(z).sum(dim=1))


def test_the_density_of_the_flow_posterior_integrates_to_one():
    """In one dimension E_q[1 / q(z)] over an interval is its length, for intervals well inside the support."""
    torch.manual_seed(0)
    posterior = IAFPosterior(NUM_FEATURES, 1, context_dim=5, hidden_channels=[16], num_steps=2)
    features = torch.randn(1, NUM_FEATURES).expand(200_000, -1)
    with torch.no_grad():
        z, log_q, _ = posterior(features)
    low, high = z.quantile(0.2), z.quantile(0.8)
    inside = ((z[:, 0] > low) & (z[:, 0] < high)).float()
    torch.testing.assert_close((inside * (-log_q).exp()).mean(), high - low, rtol=0.02, atol=0)


@pytest.mark.parametrize("posterior", posteriors(), ids=lambda one: type(one).__name__)
def test_gradients_reach_the_features_and_all_parameters(posterior):
    features = torch.randn(8, NUM_FEATURES, requires_grad=True)
    sample = posterior(features)
    (sample.z.sum() + sample.kl.sum()).backward()
    assert features.grad.abs().min() > 0
    assert all(parameter.grad is not None for parameter in posterior.parameters())


@pytest.mark.parametrize("posterior", posteriors(), ids=lambda one: type(one).__name__)
def test_the_mean_has_no_noise_and_draws_lie_around_it(posterior):
    features = torch.randn(1, NUM_FEATURES)
    mean = posterior.mean(features)
    assert torch.equal(mean, posterior.mean(features))
    draws = posterior(features.expand(4000, -1)).z
    assert (draws.mean(dim=0) - mean[0]).abs().max() < 0.5 * draws.std(dim=0).max()


def test_extreme_features_give_finite_values():
    for posterior in posteriors():
        sample = posterior(1e4 * torch.randn(8, NUM_FEATURES))
        assert all(torch.isfinite(value).all() for value in sample)


@pytest.mark.parametrize("raw", [-1e3, -20.0, 20.0, 1e3])
def test_log_variances_stay_in_their_range_and_find_back(raw):
    posterior = DiagonalGaussian(NUM_FEATURES, LATENT_DIM)
    torch.nn.init.zeros_(posterior.heads.weight)
    torch.nn.init.constant_(posterior.heads.bias[LATENT_DIM:], raw)
    features = torch.zeros(1, NUM_FEATURES)
    assert posterior.normal(features).log_var.abs().max() == MAX_LOG_VAR
    posterior(features).kl.sum().backward()
    assert (posterior.heads.bias.grad[LATENT_DIM:] * raw > 0).all()


def test_free_bits_count_each_dimension_at_the_floor_at_least_and_stop_its_gradient():
    kl = torch.tensor([[0.1, 2.0, 0.4], [0.3, 4.0, 0.8]], requires_grad=True)
    bounded = free_bits(kl, 0.5)
    torch.testing.assert_close(bounded, torch.tensor(0.5 + 3.0 + 0.6))
    bounded.backward()
    assert torch.equal(kl.grad, torch.tensor([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]))


def test_no_free_bits_is_the_average_over_the_batch_even_where_an_estimate_is_negative():
    kl = torch.randn(5, 3)
    torch.testing.assert_close(free_bits(kl, 0.0), kl.sum(dim=1).mean())


def test_the_importance_weighted_bound_is_the_elbo_for_one_draw_and_rises_with_their_number():
    """For a linear Gaussian model, x = z + noise, of known log p(x), and a posterior that is too wide."""
    generator = torch.Generator().manual_seed(0)
    x, log_px = torch.tensor(1.3), Normal(0.0, 2**0.5).log_prob(torch.tensor(1.3))
    posterior = Normal(x / 2, torch.tensor(1.0))
    z = posterior.mean + torch.randn(64, 4000, generator=generator)
    log_weights = Normal(z, 1.0).log_prob(x) + Normal(0.0, 1.0).log_prob(z) - posterior.log_prob(z)
    bounds = [importance_weighted_bound(log_weights[:k]).mean() for k in (1, 4, 16, 64)]
    torch.testing.assert_close(bounds[0], log_weights[0].mean())
    assert bounds == sorted(bounds)
    assert log_px - 0.01 < bounds[-1] < log_px + 0.005
