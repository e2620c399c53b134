"""Approximate posteriors q(z given x) of a VAE (arXiv 1312.6114), and the bounds made of them."""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.clamp import projected_clamp
from vqgen.nn.distributed import mean_over_ranks
from vqgen.nn.likelihoods.likelihoods import LOG_2PI
from vqgen.nn.posteriors.flows import IAF
from vqgen.nn.sizes import check_at_least

MAX_LOG_VAR = 14.0
"""Log-variances are kept within [-14, 14], standard deviations of 1/1000 and 1000, with a gradient that leads back."""


class PosteriorSample(NamedTuple):
    """A draw z from q(z given x): log q(z given x) in nats, and the KL to N(0, I) in nats for each dimension.

    `kl` is exact where a closed form exists, else the estimate log q(z given x) - log p(z) of this draw.
    """

    z: Float[Tensor, "b d"]
    log_q: Float[Tensor, " b"]
    kl: Float[Tensor, "b d"]


class Normal(NamedTuple):
    """Independent normal distributions."""

    mean: Float[Tensor, "b d"]
    log_var: Float[Tensor, "b d"]


class Posterior(nn.Module):
    """A distribution over latent vectors, given the features of an image.

    Args:
        num_features: length of the encoder's feature vector.
        latent_dim: length of the latent vector.
    """

    def __init__(self, num_features: int, latent_dim: int):
        check_at_least(1, latent_dim=latent_dim)
        super().__init__()
        self.latent_dim = latent_dim
        self.heads = nn.Linear(num_features, 2 * latent_dim)

    def forward(self, features: Float[Tensor, "b f"]) -> PosteriorSample:
        """A draw for each image, by the reparametrization trick."""
        raise NotImplementedError

    def mean(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b d"]:
        """One typical latent vector of each image, without noise."""
        raise NotImplementedError

    def normal(self, features: Float[Tensor, "b f"]) -> Normal:
        """The normal distribution that the noise is first scaled to; |log_var| is at most `MAX_LOG_VAR`."""
        mean, log_var = self.heads(features).float().chunk(2, dim=1)
        return Normal(mean, projected_clamp(log_var, -MAX_LOG_VAR, MAX_LOG_VAR))


class DiagonalGaussian(Posterior):
    """N(mean, diag(exp(log_var))), both linear in the features; the KL is in closed form (appendix B)."""

    def forward(self, features: Float[Tensor, "b f"]) -> PosteriorSample:
        """A draw for each image, with the exact KL."""
        mean, log_var = self.normal(features)
        noise = torch.randn_like(mean)
        z = mean + torch.exp(log_var / 2) * noise
        log_q = _normal_log_prob(noise) - log_var / 2
        kl = (mean.square() + torch.exp(log_var) - 1 - log_var) / 2
        return PosteriorSample(z, log_q.sum(dim=1), kl)

    def mean(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b d"]:
        """The mean."""
        return self.normal(features).mean


class IAFPosterior(Posterior):
    """A diagonal Gaussian passed through inverse autoregressive flow (arXiv 1606.04934, algorithm 1).

    Args, after those of `Posterior`:
        context_dim: numbers in the context h, linear in the features, which every step sees.
        hidden_channels: width of each hidden layer of a step's masked network.
        num_steps: number of flow steps.
    """

    def __init__(
        self,
        num_features: int,
        latent_dim: int,
        context_dim: int,
        hidden_channels: Sequence[int],
        num_steps: int = 3,
    ):
        check_at_least(1, context_dim=context_dim, num_steps=num_steps)
        super().__init__(num_features, latent_dim)
        self.context = nn.Linear(num_features, context_dim)
        self.flow = IAF(latent_dim, hidden_channels, context_dim, num_steps)

    def forward(self, features: Float[Tensor, "b f"]) -> PosteriorSample:
        """A draw for each image, with the KL estimated at this draw."""
        mean, log_var = self.normal(features)
        noise = torch.randn_like(mean)
        z, log_det = self.flow(mean + torch.exp(log_var / 2) * noise, self.context(features))
        log_q = _normal_log_prob(noise) - log_var / 2 - log_det
        return PosteriorSample(z, log_q.sum(dim=1), log_q - _normal_log_prob(z))

    def mean(self, features: Float[Tensor, "b f"]) -> Float[Tensor, "b d"]:
        """Where the flow takes the mean of the Gaussian (not the mean of z)."""
        return self.flow(self.normal(features).mean, self.context(features)).z


def standard_normal_log_prob(z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """log N(z; 0, I) in nats."""
    return _normal_log_prob(z).sum(dim=1)


def free_bits(kl: Float[Tensor, "b d"], min_nats: float) -> Float[Tensor, ""]:
    """KL in nats an image, each dimension counted at `min_nats` at least (arXiv 1606.04934, equation 15).

    A dimension whose average over the batch (of all ranks) is below gets no gradient, and is so kept from
    collapsing; 0.05 to 0.5 are usual. With 0 it is the plain average of this rank's batch (also of an estimated KL,
    which may be negative).
    """
    mean = kl.mean(dim=0)
    return mean_over_ranks(mean, len(kl)).clamp(min=min_nats).sum() if min_nats > 0 else mean.sum()


def importance_weighted_bound(log_weights: Float[Tensor, "k b"]) -> Float[Tensor, " b"]:
    """Lower bound of log p(x) in nats from k draws: log mean_k p(x, z_k) / q(z_k given x) (arXiv 1509.00519, eq. 8).

    `log_weights` are log p(x given z) + log p(z) - log q(z given x). With k = 1 it is the ELBO; it rises with k.
    """
    return torch.logsumexp(log_weights, dim=0) - log(len(log_weights))


def _normal_log_prob(z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return -(z.square() + LOG_2PI) / 2
