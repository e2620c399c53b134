"""What a decoder's output says of an image: probabilities, and errors weighed as such."""

from vqgen.nn.likelihoods.base import ReconstructionLoss
from vqgen.nn.likelihoods.discretized_logistic import DiscretizedLogistic
from vqgen.nn.likelihoods.likelihoods import Bernoulli, Gaussian, Laplace, LearnedGaussian, Likelihood
from vqgen.nn.likelihoods.perceptual import Perceptual
from vqgen.nn.likelihoods.reconstruction import L1, NormalizedMSE

__all__ = [
    "L1",
    "Bernoulli",
    "DiscretizedLogistic",
    "Gaussian",
    "Laplace",
    "LearnedGaussian",
    "Likelihood",
    "NormalizedMSE",
    "Perceptual",
    "ReconstructionLoss",
]
