"""The discretized logistic mixture of PixelCNN++ (arXiv 1701.05517): a probability for each of the 256 values."""

from math import isqrt
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.nn.clamp import projected_clamp
from vqgen.nn.likelihoods.likelihoods import Likelihood

MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 7.0


class Mixture(NamedTuple):
    """Of each pixel: log-weights of the components, and means, log-scales and coefficients of the channels.

    The mean of a channel also has the values of the channels before it, by `coefficients` (strictly lower
    triangular).
    """

    log_weights: Float[Tensor, "b n h w"]
    means: Float[Tensor, "b n c h w"]
    log_scales: Float[Tensor, "b n c h w"]
    coefficients: Float[Tensor, "b n c c h w"]


class DiscretizedLogistic(Likelihood):
    """Each pixel is a mixture of logistic distributions, integrated over the width of one of 256 values.

    Values below the lowest and above the highest go to these two, so that the 256 probabilities sum to 1. Log-scales
    are kept within [-7, 7], with a gradient that leads back: below, nearly all probability is in one bin; above,
    in the two outermost.

    Args:
        num_components: of the mixture, 10 in the paper; 5 is often enough.
    """

    def __init__(self, num_components: int = 10):
        if num_components < 1:
            raise ValueError(f"{num_components=} must be at least 1; the paper has 10")
        super().__init__()
        self.num_components = num_components

    def num_outputs(self, in_channels: int) -> int:
        """A weight for each component, two numbers for each channel, and one for each pair of channels."""
        return self.num_components * (1 + 2 * in_channels + in_channels * (in_channels - 1) // 2)

    def log_prob(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """log p(x) of each image in nats; `x` holds multiples of 2/255 above -1."""
        mixture = self.mixture(output)
        means = mixture.means + (mixture.coefficients * x[:, None, None]).sum(dim=3)
        channels = bin_log_prob(x[:, None], means, mixture.log_scales)
        return torch.logsumexp(mixture.log_weights + channels.sum(dim=2), dim=1).sum(dim=(1, 2))

    def x_hat(self, output: Float[Tensor, "b o h w"]) -> Float[Tensor, "b c h w"]:
        """The mean of the mixture, each component's channels one after the other, and within [-1, 1]."""
        weights, means, _, coefficients = self.mixture(output)
        values: list[Tensor] = []
        for i in range(means.shape[2]):
            shifts = [coefficients[:, :, i, j] * below for j, below in enumerate(values)]
            values.append(sum(shifts, means[:, :, i]).clamp(-1, 1))
        return (weights.exp()[:, :, None] * torch.stack(values, dim=2)).sum(dim=1)

    def mixture(self, output: Float[Tensor, "b o h w"]) -> Mixture:
        """The decoder's output, taken apart."""
        n, output = self.num_components, output.float()  # bins of 2/255 are too narrow for half precision
        c = (isqrt(1 + 8 * (output.shape[1] // n)) - 3) // 2  # solves 1 + 2 c + c (c - 1) / 2 outputs for c
        parts = output.unflatten(1, (n, -1)).split([1, c, c, c * (c - 1) // 2], dim=2)
        weights, means, raw, pairs = parts
        log_scales = projected_clamp(raw, MIN_LOG_SCALE, MAX_LOG_SCALE)
        i, j = torch.tril_indices(c, c, -1, device=output.device)
        coefficients = output.new_zeros(len(output), n, c, c, *output.shape[2:])
        coefficients[:, :, i, j] = torch.tanh(pairs)
        return Mixture(F.log_softmax(weights[:, :, 0], dim=1), means, log_scales, coefficients)


def bin_log_prob(
    x: Float[Tensor, "b 1 c h w"], means: Float[Tensor, "b n c h w"], log_scales: Float[Tensor, "b n c h w"]
) -> Float[Tensor, "b n c h w"]:
    """Log-probability of the 2/255 wide bin around x, the outermost bins reaching to infinity (equation 2).

    With s the logistic function, log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), exact for all a > b.
    """
    a = (x + 1 / 255 - means) * torch.exp(-log_scales)
    b = (x - 1 / 255 - means) * torch.exp(-log_scales)
    below, above = F.logsigmoid(a), F.logsigmoid(-b)
    inside = below + above + torch.log(-torch.expm1(-2 / 255 * torch.exp(-log_scales)))
    return torch.where(x < -1 + 1 / 255, below, torch.where(x > 1 - 1 / 255, above, inside))
