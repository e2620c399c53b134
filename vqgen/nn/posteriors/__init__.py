"""Posteriors of a VAE, and the flows that bend them."""

from vqgen.nn.posteriors.posterior import DiagonalGaussian, IAFPosterior

__all__ = [
    "DiagonalGaussian",
    "IAFPosterior",
]
