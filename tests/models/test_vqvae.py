"""The VQ-VAE: sizes, the interface of a tokenizer, and what its losses pull on."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import Adam

from vqgen.batch import ImageBatch
from vqgen.models.vqvae import VQVAE
from vqgen.nn.autoencoders.conv import ConvDecoder, ConvEncoder
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.likelihoods.likelihoods import Gaussian
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.quantize import EMAQuantizer, GradientQuantizer
from vqgen.optim.schedules import Constant


def vqvae(
    shape: tuple[int, int, int] = (1, 16, 24), downsampling: int = 4, quantizer: Any = None, likelihood: Any = None
) -> VQVAE:
    sizes: dict[str, Any] = {"hidden_channels": 16, "residual_channels": 8}
    return VQVAE(
        shape,
        partial(Encoder, downsampling=downsampling, **sizes),
        quantizer or EMAQuantizer(8, 4),
        partial(Decoder, upsampling=downsampling, **sizes),
        likelihood or NormalizedMSE(0.5),
        optimizer=partial(Adam, lr=1e-3),
        schedule=Constant(),
    )


def _batch(shape: tuple[int, ...] = (1, 16, 24), n: int = 6) -> ImageBatch:
    return ImageBatch(torch.rand(n, *shape) * 2 - 1, {}, torch.arange(n))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("downsampling", [4, 8])
def test_any_size_that_the_stride_divides(channels: int, downsampling: int):
    model = vqvae((channels, 16, 24), downsampling)
    x = _batch((channels, 16, 24)).x
    assert model.grids == [(16 // downsampling, 24 // downsampling)]
    assert model.encode(x)[0].shape[1:] == model.grids[0]
    assert model.reconstruct(x).shape == x.shape


def test_a_size_that_the_stride_does_not_divide_names_sizes_that_do():
    with pytest.raises(ValueError, match=r"30x28.*multiples of 4, such as 28x28 or 32x32"):
        vqvae((1, 30, 28))


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    model, batch = vqvae(), _batch()
    model.objective(batch)  # places the codebook
    optimizer = Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        terms = model.objective(batch)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        losses.append(terms.loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_loss_is_the_sum_of_its_terms():
    objective = vqvae().objective(_batch())
    losses = objective.losses
    assert losses.keys() == {"recon_loss", "commitment_loss"}
    assert torch.isclose(objective.loss, losses["recon_loss"] + 0.25 * losses["commitment_loss"])


class WithEdges(NormalizedMSE):
    """And the error of differences between neighbours."""

    @property
    def loss_weights(self) -> dict[str, float]:
        return {"edge_loss": 0.5}

    def losses(self, output: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().losses(output, x) | {"edge_loss": (output - x).diff(dim=3).square().mean()}


def test_a_likelihood_brings_further_losses_with_their_weights():
    objective = vqvae(likelihood=WithEdges(1.0)).objective(_batch())
    losses = objective.losses
    assert losses.keys() == {"recon_loss", "edge_loss", "commitment_loss"}
    expected = losses["recon_loss"] + 0.5 * losses["edge_loss"] + 0.25 * losses["commitment_loss"]
    torch.testing.assert_close(objective.loss, expected)


@pytest.mark.parametrize("shape", [(1, 16, 24), (3, 8, 8)])
def test_under_a_gaussian_the_terms_weigh_as_under_the_squared_error_times_the_stated_factor(shape: tuple[int, ...]):
    std, variance = 0.2, 0.5
    batch = _batch(shape)
    gradients = []
    for likelihood in (Gaussian(std), NormalizedMSE(variance)):
        torch.manual_seed(0)
        model = vqvae(shape, likelihood=likelihood)  # type: ignore[arg-type]
        torch.manual_seed(0)
        terms = model.objective(batch)
        parts = terms.losses.values()
        gradients.append([torch.autograd.grad(part, model.encoder.parameters(), retain_graph=True) for part in parts])
    for by_gaussian, by_mse in zip(gradients[0][0], gradients[1][0], strict=True):
        torch.testing.assert_close(by_gaussian, by_mse * variance / (2 * std**2), rtol=1e-4, atol=1e-6)
    for one, other in zip(gradients[0][1], gradients[1][1], strict=True):
        assert torch.equal(one, other)


def test_what_a_likelihood_measures_is_logged_in_nats_an_image_and_bits_a_value():
    model, batch = vqvae(likelihood=Gaussian(0.2)), _batch()
    logged: dict[str, Any] = {}
    model.log_means = lambda stage, values, batch_size: logged.update(values)  # type: ignore[method-assign]
    model.eval().evaluate(batch, "val")
    nll = -model.likelihood.log_prob(model(batch.x).output, batch.x).mean()
    torch.testing.assert_close(logged["nll"], nll)
    torch.testing.assert_close(logged["recon_loss"], nll / (16 * 24))
    bytes_nats = -model.likelihood.log_mass(model(batch.x).output, batch.x).mean()
    bits = bytes_nats / (16 * 24) / torch.tensor(2.0).log()
    torch.testing.assert_close(logged["bits_per_dim_given_codes"], bits)


def test_the_keras_recipe_has_the_published_number_of_parameters():
    model = VQVAE(
        (1, 28, 28),
        partial(ConvEncoder, hidden_channels=[32, 64]),
        GradientQuantizer(64, 16),
        partial(ConvDecoder, hidden_channels=[64, 32]),
        NormalizedMSE(1.0),
        optimizer=Adam,
        schedule=Constant(),
    )
    assert sum(p.numel() for p in model.encoder.parameters()) == 19_856
    assert sum(p.numel() for p in model.quantizer.parameters()) == 1_024
    assert sum(p.numel() for p in model.decoder.parameters()) == 28_033
    assert sum(p.numel() for p in model.parameters()) == 48_913
    assert model.grids == [(7, 7)]
