"""AE and VAE: the bound, its weights, and both posteriors under every likelihood."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import Adam

from vqgen.batch import ImageBatch
from vqgen.models.ae import AE
from vqgen.models.vae import VAE
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder
from vqgen.nn.autoencoders.mlp import MLPDecoder, MLPEncoder
from vqgen.nn.likelihoods.discretized_logistic import DiscretizedLogistic
from vqgen.nn.likelihoods.likelihoods import Bernoulli, Gaussian, Laplace, LearnedGaussian
from vqgen.nn.likelihoods.reconstruction import L1, NormalizedMSE
from vqgen.nn.posteriors.posterior import DiagonalGaussian, IAFPosterior
from vqgen.optim.schedules import Constant

NETWORKS: dict[str, dict[str, Any]] = {
    "conv": {
        "encoder": partial(FlatConvEncoder, hidden_channels=[8, 8]),
        "decoder": partial(FlatConvDecoder, hidden_channels=[8, 8]),
    },
    "mlp": {"encoder": partial(MLPEncoder, hidden_channels=[16]), "decoder": partial(MLPDecoder, hidden_channels=[16])},
}
POSTERIORS = {"diagonal": DiagonalGaussian, "iaf": partial(IAFPosterior, context_dim=4, hidden_channels=[8])}
LIKELIHOODS = [
    Bernoulli(),
    Gaussian(0.5),
    LearnedGaussian(),
    Laplace(),
    DiscretizedLogistic(2),
    NormalizedMSE(1.0),
    L1(),
]
TRAINING: dict[str, Any] = {"optimizer": partial(Adam, lr=1e-3), "schedule": Constant()}


def vae(posterior: str = "diagonal", networks: str = "conv", likelihood: Any = None, **kwargs: Any) -> VAE:
    torch.manual_seed(0)
    arguments = NETWORKS[networks] | kwargs
    return VAE(
        shape=(1, 8, 12),
        latent_dim=3,
        posterior=POSTERIORS[posterior],
        likelihood=likelihood or Bernoulli(),
        **arguments,
        **TRAINING,
    )


def _batch(n: int = 6) -> ImageBatch:
    return ImageBatch(torch.rand(n, 1, 8, 12) * 2 - 1, {}, torch.arange(n))


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("networks", NETWORKS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_posterior_trains_under_every_likelihood(posterior: str, networks: str, likelihood: Any):
    model, batch = vae(posterior, networks, likelihood), _batch()
    terms = model.objective(batch)
    terms.loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    x_hat = model.reconstruct(batch.x)
    assert x_hat.shape == batch.x.shape
    assert x_hat.abs().max() <= 1
    assert model.generate(2).shape == (2, 1, 8, 12)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    objective = vae(recon_weight=0.5, kl_weight=3.0).objective(_batch())
    losses = objective.losses
    assert torch.isclose(objective.loss, 0.5 * losses["recon_loss"] + 3.0 * losses["kl_free_bits"])
    assert losses.keys() == {"recon_loss", "kl_free_bits"}  # `kl` is measured, and no part of the loss
    assert objective.terms.keys() == {"loss", "recon_loss", "kl_free_bits", "kl"}


def test_with_unit_weights_the_loss_is_the_negative_elbo():
    model, batch = vae(), _batch()
    torch.manual_seed(1)
    terms = model.objective(batch)
    torch.manual_seed(1)
    sample = model.posterior(model.encoder(batch.x))
    elbo = model.likelihood.log_prob(model.decoder(sample.z), batch.x) - sample.kl.sum(1)
    assert torch.isclose(terms.loss, -elbo.mean())


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_the_importance_weighted_bound_rises_with_its_draws(posterior: str):
    model, x = vae(posterior, likelihood=Gaussian(0.3)).eval(), _batch(64).x
    with torch.no_grad():
        model.posterior.heads.weight.mul_(20)  # a posterior far from the true one: a bound with room below it
        bounds = [torch.stack([model.bound(x, k).log_prob.mean() for _ in range(8)]).mean() for k in (1, 8, 64)]
    assert bounds[0] < bounds[1] < bounds[2]


def logged(model: VAE, batch: ImageBatch, stage: str = "val") -> dict[str, Any]:
    """What an evaluation of a batch logs, with the draws of seed 1."""
    found: dict[str, Any] = {}
    model.log_means = lambda stage, values, batch_size: found.update(values)  # type: ignore[method-assign]
    torch.manual_seed(1)
    model.eval().evaluate(batch, stage)
    return found


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_free_bits_are_a_floor_under_the_kl_of_the_loss_and_leave_kl_and_elbo_alone(posterior: str):
    model, plain, batch = vae(posterior, free_bits=2.0), vae(posterior), _batch()
    terms, without = logged(model, batch), logged(plain, batch)
    assert terms["kl_free_bits"] >= 3 * 2.0 - 1e-5
    assert terms["kl"] == without["kl"]
    assert torch.isclose(without["kl_free_bits"], without["kl"], rtol=1e-6)
    assert terms["kl"] < 3 * 2.0
    assert torch.isclose(terms["loss"], terms["recon_loss"] + terms["kl_free_bits"])
    for name in ("elbo", "bernoulli_bits_per_dim"):
        assert terms[name] == without[name]
    assert torch.isclose(terms["elbo"], -terms["recon_loss"] - terms["kl"])


@pytest.mark.parametrize("std", [1e-3, 0.3])
def test_bits_per_dim_are_of_the_probability_of_the_bytes_and_never_negative(std: float):
    model, x = vae(likelihood=Gaussian(std), importance_samples=4), torch.zeros(4, 1, 8, 12)
    with torch.no_grad():  # a decoder that is right everywhere
        last = [module for module in model.decoder.modules() if hasattr(module, "bias")][-1]
        last.weight.zero_()
        last.bias.zero_()
    x = x + 1 / 255
    terms = logged(model, ImageBatch(x, {}, torch.arange(4)), "test")
    for name in ("bits_per_dim", "bits_per_dim_importance_weighted_bound"):
        assert terms[name] >= 0
    mass = model.likelihood.log_mass(torch.zeros_like(x), x).mean()
    expected = (terms["kl"] - mass) / 96 / torch.tensor(2.0).log()
    torch.testing.assert_close(terms["bits_per_dim"], expected)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_logged_errors_are_those_of_reconstruct(posterior: str):
    model, batch = vae(posterior), _batch()
    terms = logged(model, batch)
    torch.testing.assert_close(terms["mse"], (model.reconstruct(batch.x) - batch.x).square().mean())


def test_the_kl_warms_up_in_training_and_is_whole_in_evaluation():
    model = vae(kl_warmup_steps=10, kl_weight=2.0)
    assert model.train()._current_kl_weight() == 0.0
    assert model.eval()._current_kl_weight() == 2.0


def test_a_sample_depends_on_its_seed_alone():
    model = vae().eval()
    assert torch.equal(model.generate(3, seed=1), model.generate(3, seed=1))
    assert not torch.equal(model.generate(3, seed=1), model.generate(3, seed=2))


@pytest.mark.parametrize("latent_dim", [1, 2, 7])
def test_an_autoencoder_of_any_latent_dimension(latent_dim: int):
    model = AE(shape=(3, 16, 8), latent_dim=latent_dim, likelihood=Bernoulli(), **NETWORKS["conv"], **TRAINING)
    x = torch.rand(2, 3, 16, 8) * 2 - 1
    assert model.encode(x).shape == (2, latent_dim)
    assert model.reconstruct(x).shape == x.shape
    terms = model.objective(ImageBatch(x, {}, torch.arange(2)))
    assert torch.equal(terms.loss, terms.losses["recon_loss"])


def test_a_size_that_the_stride_does_not_divide_is_named():
    with pytest.raises(ValueError, match="10"):
        AE(shape=(1, 10, 8), latent_dim=2, likelihood=Bernoulli(), **NETWORKS["conv"], **TRAINING)
