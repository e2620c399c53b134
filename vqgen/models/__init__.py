"""LightningModules: one file per model."""

from vqgen.models.adversary import Adversary
from vqgen.models.ae import AE
from vqgen.models.classifier import ImageClassifier
from vqgen.models.masked_prior import MaskedPrior
from vqgen.models.next_scale import NextScalePrior
from vqgen.models.pixels import Pixels
from vqgen.models.prior import RasterPrior
from vqgen.models.residual import ResidualMapVQVAE, ResidualVQVAE
from vqgen.models.vae import VAE
from vqgen.models.vqvae import VQVAE
from vqgen.models.vqvae2 import VQVAE2

__all__ = [
    "AE",
    "VAE",
    "VQVAE",
    "VQVAE2",
    "Adversary",
    "ImageClassifier",
    "MaskedPrior",
    "NextScalePrior",
    "Pixels",
    "RasterPrior",
    "ResidualMapVQVAE",
    "ResidualVQVAE",
]
