"""How probable an image is under a decoder's output: Bernoulli, exact, Gaussian and Laplace."""

from math import inf, log

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.nn.clamp import projected_clamp
from vqgen.nn.likelihoods.base import Losses, ReconstructionLoss
from vqgen.nn.precision import float64

LOG_2PI = log(2 * torch.pi)

LocationAndScale = tuple[Float[Tensor, "b c h w"], Float[Tensor, "*b"]]


class Likelihood(ReconstructionLoss):
    """p(x given output) for images in [-1, 1]. A subclass gives `log_prob` and, where they differ, the others.

    A VAE minimises `losses`, whose sum with the KL is a bound in nats; a VQ-VAE minimises `losses_per_value`. Both are
    of `log_prob`, which may be a density, and a density may be above 1. What an image takes to store, its bits per
    dimension, is of `log_mass`: the probability of its bytes, which is none below 0 bits.
    """

    bits_name = "bits_per_dim"
    """What the bits for each value are called, and what figures made of them begin with."""

    def log_prob(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """log p(x given output) of each image in nats, summed over pixels and channels."""
        raise NotImplementedError

    def log_mass(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Log-probability of the bytes of each image in nats; `log_prob`, where that is no density."""
        return self.log_prob(output, x)

    def losses(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """`recon_loss`: negative log-likelihood in nats an image, summed over pixels, averaged over the batch."""
        return {"recon_loss": -self.log_prob(output, x).mean()}

    def losses_per_value(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """`losses`, with `recon_loss` divided by the number of channel values of an image."""
        losses = self.losses(output, x)
        return losses | {"recon_loss": losses["recon_loss"] / x[0].numel()}

    def bits_per_dim(self, nats: Float[Tensor, "*b"], num_dims: int) -> Float[Tensor, "*b"]:
        """Bits for each of `num_dims` channel values of an image, from the nats that its bytes take (-`log_mass`)."""
        return nats / (num_dims * log(2))


class Bernoulli(Likelihood):
    """Each value, taken from [-1, 1] to [0, 1], is the probability of a 1; the output are logits.

    Exact for black and white images; on greys it is the usual binary cross-entropy, no probability of a grey value: its
    bits have a name of their own, and compare with those of Bernoulli likelihoods alone.
    """

    bits_name = "bernoulli_bits_per_dim"

    def log_prob(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Negative binary cross-entropy, summed over pixels and channels."""
        return -_sum(F.binary_cross_entropy_with_logits(output.float(), (x + 1) / 2, reduction="none"))

    def x_hat(self, output: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The probabilities, taken back to [-1, 1]."""
        return torch.tanh(output / 2)


class Exact(Likelihood):
    """p(image given codes) = 1: the codes are the image, of as many grey values as there are codes.

    The bits of an image are then those of its codes, and none beside.
    """

    def log_prob(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Zero, in nats an image."""
        return x.new_zeros(len(x))

    def losses_per_value(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """The mean squared error: zero, but for fewer grey values than the image has."""
        return {"recon_loss": F.mse_loss(output, x)}


class Density(Likelihood):
    """Independent values, each of a density of one shape, symmetric about a location and stretched by a scale."""

    def location_and_scale(self, output: Float[Tensor, "b o h w"]) -> LocationAndScale:
        """Of each value."""
        raise NotImplementedError

    def log_cdf(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Log of the probability of a value below `t`, of the density at location 0 and scale 1: here N(0, 1)."""
        return torch.special.log_ndtr(t)

    def log_mass(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """The density integrated over the 2/255 wide bin of each value's byte, the outermost bins reaching to infinity.

        In double precision: a bin is a small difference of a wide density.
        """
        location, scale = map(float64, self.location_and_scale(output))
        byte = ((float64(x) + 1) * 127.5).round().clamp(0, 255)
        low, high = (((byte + side) / 127.5 - 1 - location) / scale for side in (-0.5, 0.5))
        low, high = low.masked_fill(byte == 0, -inf), high.masked_fill(byte == 255, inf)
        return _sum(self._log_between(low, high)).to(x)

    def _log_between(self, low: Float[Tensor, "*b"], high: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """log(F(high) - F(low)), taken in the lower tail, where it keeps its digits: F(-t) = 1 - F(t)."""
        above = low + high > 0
        low, high = torch.where(above, -high, low), torch.where(above, -low, high)
        log_high = self.log_cdf(high)
        return log_high + torch.log(-torch.expm1(self.log_cdf(low) - log_high))


class Gaussian(Density):
    """Independent normal values of one fixed standard deviation; the output is the mean.

    Args:
        std: standard deviation, in the scale of [-1, 1]. Small asks for sharp reconstructions and weighs the KL, or
            a quantizer's terms, less: the squared error counts 1 / (2 std^2) times.
    """

    def __init__(self, std: float = 0.1):
        if std <= 0:
            raise ValueError(f"{std=} must be positive; 0.1 is a usual choice for images in [-1, 1]")
        super().__init__()
        self.std = std

    def log_prob(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Normal log-density, summed over pixels and channels."""
        return _sum(-0.5 * ((x - output) / self.std).square() - log(self.std) - LOG_2PI / 2)

    def location_and_scale(self, output: Float[Tensor, "b c h w"]) -> LocationAndScale:
        """The output, and the standard deviation."""
        return output, torch.tensor(self.std, dtype=torch.float64)


class LearnedGaussian(Density):
    """Independent normal values, mean and log-variance of each given by the decoder (arXiv 1312.6114, appendix C.2).

    Args:
        min_log_var: floor of the log-variance, without which the density of flat image parts grows without bound; -7
            is a standard deviation of 0.03, or 4 of 255 grey levels.
        max_log_var: its ceiling; 0 is a standard deviation of 1, the largest that values in [-1, 1] can have. Outputs
            outside of the two count as the bound, with a gradient that leads back.
    """

    def __init__(self, min_log_var: float = -7.0, max_log_var: float = 0.0):
        if not -20 <= min_log_var < max_log_var <= 20:
            raise ValueError(
                f"{min_log_var=} and {max_log_var=} must be within [-20, 20], the first below the second; -7 and 0 are"
                " usual"
            )
        super().__init__()
        self.min_log_var, self.max_log_var = min_log_var, max_log_var

    def num_outputs(self, in_channels: int) -> int:
        """A mean and a log-variance for each channel."""
        return 2 * in_channels

    def log_prob(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Normal log-density, summed over pixels and channels."""
        mean, log_var = self._mean_and_log_var(output)
        return _sum(-0.5 * (x - mean).square() * torch.exp(-log_var) - log_var / 2 - LOG_2PI / 2)

    def location_and_scale(self, output: Float[Tensor, "b o h w"]) -> LocationAndScale:
        """The mean, and the standard deviation."""
        mean, log_var = self._mean_and_log_var(output)
        return mean, torch.exp(log_var / 2)

    def _mean_and_log_var(self, output: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = output.float().chunk(2, dim=1)
        return mean, projected_clamp(raw, self.min_log_var, self.max_log_var)

    def x_hat(self, output: Float[Tensor, "b o h w"]) -> Float[Tensor, "b c h w"]:
        """The mean."""
        return output.chunk(2, dim=1)[0]


class Laplace(Density):
    """Independent Laplace values of one fixed scale; the output is the median. Absolute, not squared, errors count.

    Args:
        scale: mean absolute deviation, in the scale of [-1, 1].
    """

    def __init__(self, scale: float = 0.1):
        if scale <= 0:
            raise ValueError(f"{scale=} must be positive; 0.1 is a usual choice for images in [-1, 1]")
        super().__init__()
        self.scale = scale

    def log_prob(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Laplace log-density, summed over pixels and channels."""
        return _sum(-(x - output).abs() / self.scale - log(2 * self.scale))

    def location_and_scale(self, output: Float[Tensor, "b c h w"]) -> LocationAndScale:
        """The output, and the scale."""
        return output, torch.tensor(self.scale, dtype=torch.float64)

    def log_cdf(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """exp(t) / 2 below 0, and 1 - exp(-t) / 2 above."""
        return torch.where(t < 0, t - log(2), torch.log1p(-torch.exp(-t.clamp(min=0)) / 2))


def _sum(values: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    return values.sum(dim=(1, 2, 3))
