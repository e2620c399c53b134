"""Networks of maps and networks of vectors: each model takes its own kind and names the choices of it."""

import re
from functools import partial
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch.optim import Adam

from vqgen.config.search_path import CONF
from vqgen.models.ae import AE
from vqgen.models.vae import VAE
from vqgen.models.vqvae import VQVAE
from vqgen.nn.likelihoods.likelihoods import Bernoulli
from vqgen.nn.posteriors.posterior import DiagonalGaussian
from vqgen.nn.quantize import EMAQuantizer
from vqgen.optim.schedules import Constant
from vqgen.runs.checkpoint import build

SHARED: dict[str, Any] = {
    "shape": (1, 32, 32),
    "likelihood": Bernoulli(),
    "optimizer": partial(Adam, lr=1e-3),
    "schedule": Constant(),
}
MODELS: dict[str, Any] = {
    "ae": partial(AE, latent_dim=2, **SHARED),
    "vae": partial(VAE, latent_dim=2, posterior=DiagonalGaussian, **SHARED),
    "vqvae": partial(VQVAE, quantizer=EMAQuantizer(8, 4), **SHARED),
}
CHOICES = sorted(p.stem for p in (CONF / "model" / "autoencoder").glob("*.yaml"))


def networks(choice: str) -> dict[str, Any]:
    config = OmegaConf.create({"model": OmegaConf.load(CONF / "model" / "autoencoder" / f"{choice}.yaml")})
    return build(OmegaConf.to_container(config.model, resolve=True))


@pytest.mark.parametrize("name", MODELS)
def test_a_network_of_the_wrong_kind_is_an_error_that_names_exactly_the_choices_that_fit(name: str):
    fit, messages = set(), set()
    for choice in CHOICES:
        try:
            MODELS[name](**networks(choice))
            fit.add(choice)
        except ValueError as error:
            messages.add(str(error).partition(" does not fit: ")[2])
    assert len(messages) == 1
    named = re.findall(r"\w+", messages.pop().partition("model/autoencoder=")[2])
    assert fit == set(named) - {"or"}


@pytest.mark.parametrize("name", ["ae", "vae"])
@pytest.mark.parametrize("latent_dim", [0, -1])
def test_a_latent_vector_has_one_number_at_least(name: str, latent_dim: int):
    with pytest.raises(ValueError, match=f"latent_dim={latent_dim} must be at least 1"):
        MODELS[name](**networks("mlp"), latent_dim=latent_dim)
