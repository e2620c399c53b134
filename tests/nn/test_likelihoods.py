from math import log

import pytest
import torch
from torch import distributions

from vqgen.nn.likelihoods.discretized_logistic import DiscretizedLogistic
from vqgen.nn.likelihoods.likelihoods import Bernoulli, Gaussian, Laplace, LearnedGaussian
from vqgen.nn.likelihoods.reconstruction import L1, NormalizedMSE

ALL = [Bernoulli(), Gaussian(0.3), LearnedGaussian(), Laplace(0.3), DiscretizedLogistic(3), NormalizedMSE(0.5), L1()]


def grey_values(*size):
    return torch.randint(256, size) / 255 * 2 - 1


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("likelihood", ALL, ids=lambda one: type(one).__name__)
def test_num_outputs_channels_give_a_scalar_loss_and_an_image(likelihood, channels):
    output = torch.randn(4, likelihood.num_outputs(channels), 5, 6, requires_grad=True)
    x = grey_values(4, channels, 5, 6)
    loss = likelihood.losses(output, x)["recon_loss"]
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(output.grad).all()
    assert likelihood.x_hat(output).shape == x.shape


@pytest.mark.parametrize("likelihood", ALL[:5], ids=lambda one: type(one).__name__)
def test_the_loss_is_nats_summed_over_pixels_and_averaged_over_the_batch(likelihood):
    output = torch.randn(4, likelihood.num_outputs(3), 5, 6)
    x = grey_values(4, 3, 5, 6)
    torch.testing.assert_close(likelihood.losses(output, x)["recon_loss"], -likelihood.log_prob(output, x).mean())
    pixels = [
        likelihood.log_prob(output[..., i : i + 1, j : j + 1], x[..., i : i + 1, j : j + 1])
        for i in range(5)
        for j in range(6)
    ]
    torch.testing.assert_close(likelihood.log_prob(output, x), torch.stack(pixels).sum(dim=0))


@pytest.mark.parametrize("likelihood", ALL, ids=lambda one: type(one).__name__)
def test_the_loss_per_value_of_a_tiled_image_is_that_of_the_image(likelihood):
    output = torch.randn(4, likelihood.num_outputs(3), 5, 6)
    x = grey_values(4, 3, 5, 6)
    tiled = likelihood.losses_per_value(output.repeat(1, 1, 2, 3), x.repeat(1, 1, 2, 3))["recon_loss"]
    torch.testing.assert_close(tiled, likelihood.losses_per_value(output, x)["recon_loss"])


def summed(log_prob):
    return log_prob.sum(dim=(1, 2, 3))


def test_densities_are_those_of_torch():
    mean, x = torch.randn(2, 4, 3, 5, 6).tanh()
    torch.testing.assert_close(Gaussian(0.3).log_prob(mean, x), summed(distributions.Normal(mean, 0.3).log_prob(x)))
    torch.testing.assert_close(Laplace(0.3).log_prob(mean, x), summed(distributions.Laplace(mean, 0.3).log_prob(x)))


def test_the_learned_variance_is_the_second_half_of_the_output_above_its_floor():
    mean, log_var, x = torch.randn(3, 4, 3, 5, 6)
    normal = distributions.Normal(mean, (log_var / 2).exp())
    log_prob = LearnedGaussian(-20.0, 20.0).log_prob(torch.cat([mean, log_var], dim=1), x)
    torch.testing.assert_close(log_prob, summed(normal.log_prob(x)))
    lowest = LearnedGaussian(min_log_var=-3.0).log_prob(torch.cat([mean, log_var - 100], dim=1), x)
    torch.testing.assert_close(lowest, Gaussian(float(torch.tensor(-1.5).exp())).log_prob(mean, x))
    highest = LearnedGaussian(max_log_var=2.0).log_prob(torch.cat([mean, log_var + 100], dim=1), x)
    torch.testing.assert_close(highest, Gaussian(float(torch.tensor(1.0).exp())).log_prob(mean, x))


@pytest.mark.parametrize("raw", [-1e30, -100.0, 100.0, 1e30])
def test_scales_far_out_of_their_range_give_a_finite_loss_and_a_gradient_that_leads_back(raw):
    """The mean is half a grey scale away, so that neither a tiny nor a huge spread is likely."""
    x = torch.zeros(1, 1, 1, 1)
    for likelihood, place in ((LearnedGaussian(), 1), (DiscretizedLogistic(1), 2)):
        output = torch.full((1, likelihood.num_outputs(1), 1, 1), 0.5)
        output[:, place] = raw
        loss = likelihood.losses(output.requires_grad_(), x)["recon_loss"]
        (gradient,) = torch.autograd.grad(loss, output)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert gradient[0, place] * raw > 0  # descent goes towards zero


@pytest.mark.parametrize("likelihood", [Bernoulli(), LearnedGaussian()], ids=lambda one: type(one).__name__)
def test_a_likelihood_of_half_precision_outputs_is_computed_in_float32(likelihood):
    output = torch.randn(4, likelihood.num_outputs(1), 5, 6).bfloat16()
    x = grey_values(4, 1, 5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(likelihood.log_prob(output, x), likelihood.log_prob(output.float(), x))


def test_bernoulli_takes_images_from_minus_one_to_one():
    logits = torch.randn(4, 3, 5, 6)
    x = torch.randint(2, (4, 3, 5, 6)) * 2.0 - 1
    bernoulli = distributions.Bernoulli(logits=logits)
    torch.testing.assert_close(Bernoulli().log_prob(logits, x), summed(bernoulli.log_prob((x + 1) / 2)))
    torch.testing.assert_close(Bernoulli().x_hat(logits), 2 * bernoulli.probs - 1)


@pytest.mark.parametrize("log_scale", [-9.0, -4.0, 0.0, 5.0])
def test_the_256_probabilities_of_the_discretized_logistic_sum_to_one(log_scale):
    torch.manual_seed(0)
    likelihood = DiscretizedLogistic(4)
    output = torch.randn(1, likelihood.num_outputs(1), 1, 1, dtype=torch.float64)
    output.view(4, 3)[:, 2] += log_scale
    x = (torch.arange(256, dtype=torch.float64) / 255 * 2 - 1).view(256, 1, 1, 1)
    probabilities = likelihood.log_prob(output.expand(256, -1, -1, -1), x).exp()
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_the_joint_probabilities_of_two_coupled_channels_sum_to_one():
    torch.manual_seed(0)
    likelihood = DiscretizedLogistic(2)
    output = torch.randn(1, likelihood.num_outputs(2), 1, 1, dtype=torch.float64)
    values = torch.arange(256, dtype=torch.float64) / 255 * 2 - 1
    x = torch.cartesian_prod(values, values)[..., None, None]
    probabilities = likelihood.log_prob(output.expand(len(x), -1, -1, -1), x).exp()
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_the_discretized_logistic_mean_is_that_of_its_probabilities_where_it_is_narrow():
    likelihood = DiscretizedLogistic(1)
    output = torch.tensor([0.0, 0.1, -0.2, -6.0, -6.0, 0.7]).view(1, 6, 1, 1)
    values = torch.arange(256) / 255 * 2 - 1
    x = torch.cartesian_prod(values, values)[..., None, None]
    probabilities = likelihood.log_prob(output.expand(len(x), -1, -1, -1), x).exp()
    mean = (probabilities[:, None] * x[:, :, 0, 0]).sum(dim=0)
    torch.testing.assert_close(likelihood.x_hat(output).flatten(), mean, atol=2e-3, rtol=0)


def test_published_output_counts_of_the_mixture():
    assert DiscretizedLogistic(10).num_outputs(3) == 100
    assert DiscretizedLogistic(10).num_outputs(1) == 30


@pytest.mark.parametrize("likelihood", ALL[:5], ids=lambda one: type(one).__name__)
def test_a_uniform_model_of_256_values_takes_exactly_8_bits_per_dim(likelihood):
    num_dims = 3 * 32 * 32
    assert float(likelihood.bits_per_dim(torch.tensor(num_dims * log(256), dtype=torch.float64), num_dims)) == 8


def of_spread(kind, spread):
    """A likelihood, and outputs for one value at each of some places, of about this standard deviation."""
    places = torch.tensor([-3.0, -1.0, -0.999, -0.3, 0.0, 1 / 255, 0.7, 1.0, 40.0], dtype=torch.float64)
    if kind is LearnedGaussian:
        likelihood, rest = kind(-20.0, 20.0), [2 * log(spread)]
    elif kind is DiscretizedLogistic:
        likelihood, rest = kind(1), [log(spread)]
    else:
        likelihood, rest = kind(spread), []
    parts = [places, *[torch.full_like(places, value) for value in rest]]
    if kind is DiscretizedLogistic:
        parts = [torch.zeros_like(places), *parts]
    return likelihood, torch.stack(parts, dim=1)[:, :, None, None]


@pytest.mark.parametrize("spread", [1e-4, 1e-3, 0.1, 1.0, 300.0])
@pytest.mark.parametrize("kind", [Gaussian, LearnedGaussian, Laplace, DiscretizedLogistic])
def test_the_probabilities_of_the_256_bytes_sum_to_one_and_none_takes_less_than_0_bits(kind, spread):
    likelihood, outputs = of_spread(kind, spread)
    x = (torch.arange(256, dtype=torch.float64) / 127.5 - 1).view(256, 1, 1, 1)
    for output in outputs:
        log_mass = likelihood.log_mass(output.expand(256, -1, -1, -1), x)
        assert torch.isfinite(log_mass).all()
        torch.testing.assert_close(log_mass.exp().sum(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-6, atol=0)
        assert likelihood.bits_per_dim(-log_mass, 1).min() >= 0


@pytest.mark.parametrize("kind", [Gaussian, LearnedGaussian, Laplace])
def test_the_probability_of_a_byte_is_the_integral_of_the_density_over_its_bin(kind):
    likelihood, outputs = of_spread(kind, 0.02)
    for byte in (1, 100, 130, 254):
        centre = byte / 127.5 - 1
        points = centre + (torch.arange(2000, dtype=torch.float64) + 0.5 - 1000) / 1000 / 255
        for output in outputs[2:8]:
            density = likelihood.log_prob(output.expand(2000, -1, -1, -1), points.view(-1, 1, 1, 1))
            integral = torch.logsumexp(density, dim=0) + log(2 / 255 / 2000)
            x = torch.full((1, 1, 1, 1), centre, dtype=torch.float64)
            torch.testing.assert_close(likelihood.log_mass(output[None], x)[0], integral, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Gaussian, LearnedGaussian, Laplace])
def test_where_the_density_is_wide_its_probabilities_are_density_times_width(kind):
    likelihood, outputs = of_spread(kind, 0.5)
    near, x = outputs[:8], (torch.randint(1, 255, (8, 1, 1, 1)) / 127.5 - 1).double()
    expected = likelihood.log_prob(near, x) + log(2 / 255)
    torch.testing.assert_close(likelihood.log_mass(near, x), expected, atol=1e-2, rtol=0)


def test_bits_of_bernoulli_likelihoods_are_not_called_bits_of_bytes():
    names = {type(one).__name__: one.bits_name for one in ALL[:5]}
    assert names.pop("Bernoulli") == "bernoulli_bits_per_dim"
    assert set(names.values()) == {"bits_per_dim"}


def test_normalized_mse_is_one_for_a_model_that_knows_only_the_mean():
    x = torch.randn(64, 1, 8, 8)
    loss = NormalizedMSE(float(x.var(correction=0))).losses(x.mean().expand_as(x), x)["recon_loss"]
    torch.testing.assert_close(loss, torch.tensor(1.0))


def test_l1_is_the_mean_absolute_error():
    x, output = torch.randn(2, 4, 3, 5, 6)
    torch.testing.assert_close(L1().losses(output, x)["recon_loss"], (x - output).abs().mean())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0.0), "std=0.0"),
        (lambda: Laplace(-1.0), "scale=-1.0"),
        (lambda: DiscretizedLogistic(0), "num_components=0"),
        (lambda: LearnedGaussian(min_log_var=1.0), r"min_log_var=1\.0 and max_log_var=0\.0"),
        (lambda: LearnedGaussian(max_log_var=100.0), r"max_log_var=100\.0"),
        (lambda: NormalizedMSE(0.0), "variance=0"),
    ],
)
def test_arguments_out_of_range_are_errors_that_name_them(make, message):
    with pytest.raises(ValueError, match=message):
        make()
