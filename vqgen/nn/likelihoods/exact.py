"""The likelihood of images that are what their codes say."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vqgen.nn.likelihoods.base import Losses
from vqgen.nn.likelihoods.likelihoods import Likelihood


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
