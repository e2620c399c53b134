"""The likelihood of images that are what their codes say."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Exact(nn.Module):
    """p(image given codes) = 1: the codes are the image, of as many grey values as there are codes.

    The bits of an image are then those of its codes, and none beside.
    """

    bits_name = "bits_per_dim"

    @property
    def loss_weights(self) -> dict[str, float]:
        """Each loss counts once."""
        return {}

    def num_outputs(self, in_channels: int) -> int:
        """Decoder output channels for images of `in_channels`."""
        return in_channels

    def losses_per_value(
        self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The mean squared error: zero, but for fewer grey values than the image has."""
        return {"recon_loss": F.mse_loss(output, x)}

    def log_prob(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Zero, in nats an image."""
        return x.new_zeros(len(x))

    def log_mass(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """Zero, in nats an image."""
        return x.new_zeros(len(x))

    def x_hat(self, output: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The output."""
        return output

    def bits_per_dim(self, nats: Float[Tensor, "*b"], num_dims: int) -> Float[Tensor, "*b"]:
        """Bits for each of `num_dims` channel values of an image, from the nats of its codes."""
        return nats / (num_dims * math.log(2))
