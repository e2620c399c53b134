"""Untrained runs of every kind, small enough to try every task on."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import Adam

from vqgen.data.sources.shapes import Shapes
from vqgen.models.ae import AE
from vqgen.models.prior import Prior
from vqgen.models.vae import VAE
from vqgen.models.vqvae2 import VQVAE2
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder
from vqgen.nn.likelihoods.likelihoods import Bernoulli
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.posteriors.posterior import DiagonalGaussian
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.quantize import EMAQuantizer
from vqgen.optim.schedules import Constant
from vqgen.runs.trained_run import TrainedRun

TRAINING: dict[str, Any] = {"optimizer": Adam, "schedule": Constant()}


@cache
def shapes() -> Shapes:
    return Shapes(16, (3, 16, 16), 96, 8, 24, batch_size=8, seed=0, num_workers=0)


def latent_model(kind: type[VAE] | type[AE] = VAE, latent_dim: int = 2) -> Any:
    torch.manual_seed(0)
    flat = {
        "encoder": partial(FlatConvEncoder, hidden_channels=[4]),
        "decoder": partial(FlatConvDecoder, hidden_channels=[4]),
    }
    sizes: dict[str, Any] = {"shape": (3, 16, 16), "latent_dim": latent_dim, "likelihood": Bernoulli()}
    posterior = {"posterior": DiagonalGaussian} if kind is VAE else {}
    return _frozen(kind(**posterior, **flat, **sizes, **TRAINING))


def vqvae2() -> Any:
    """Grids 2x2 and 4x4; the code vectors are spread so that images have different codes."""
    torch.manual_seed(0)
    model = VQVAE2((3, 16, 16), [2, 4], partial(EMAQuantizer, 8, 4), NormalizedMSE(1.0), 8, 1, 4, **TRAINING)
    images = shapes().batch("train", torch.arange(64).numpy()).x
    for level, quantizer in enumerate(model.quantizers):
        z_e = model.eval().features(images)[level].permute(0, 2, 3, 1).flatten(0, 2)
        quantizer.codebook.copy_(z_e[torch.randperm(len(z_e))[:8]].detach())
    return _frozen(model)


def priors(num_classes: int) -> list[Any]:
    """Untrained, with logits far enough from zero to be worth coding by."""
    torch.manual_seed(1)
    network = partial(GatedPixelCNN, hidden_channels=8, num_layers=1, output_channels=8)
    conditioner = partial(Conditioner, channels=8, num_residual_blocks=1, residual_channels=8)
    found = []
    for grid, upper in (((2, 2), []), ((4, 4), [[2, 2]])):
        prior = Prior(network, conditioner, grid, 8, upper, [8] * len(upper), num_classes, **TRAINING)
        with torch.no_grad():
            prior.network.output.own.mul_(8)
        found.append(_frozen(prior))
    return found


def trained(model: Any, given: list[Any] | None = None) -> TrainedRun:
    """The run of an autoencoder or, with priors, theirs."""
    about: dict[str, Any] = {"class_names": list(shapes().class_names), "step": 7}
    about["attribute_names"] = shapes().attribute_names
    if given:
        return TrainedRun(given[0], given, model, shapes, Path("runs/x"), **about)
    return TrainedRun(model, [], None, shapes, Path("runs/x"), **about)


def _frozen(model: Any) -> Any:
    return model.eval().requires_grad_(False)
