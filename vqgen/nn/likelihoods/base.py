"""The interface of likelihoods and reconstruction errors: how far a decoder's output is from the image."""

from jaxtyping import Float
from torch import Tensor, nn

Losses = dict[str, Float[Tensor, ""]]
"""Losses by name, without the weights that `loss_weights` gives them."""


class ReconstructionLoss(nn.Module):
    """Compares a decoder's output with the image. A subclass gives `losses`, of which the main one is `recon_loss`."""

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the losses; 1 for a loss that is not named."""
        return {}

    def num_outputs(self, in_channels: int) -> int:
        """Decoder output channels for images of `in_channels`."""
        return in_channels

    def losses(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """What a VAE minimises, in the units of the subclass."""
        raise NotImplementedError

    def losses_per_value(self, output: Float[Tensor, "b o h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """`losses`, with `recon_loss` for each channel value of an image, to stand beside a quantizer's mean errors."""
        return self.losses(output, x)

    def x_hat(self, output: Float[Tensor, "b o h w"]) -> Float[Tensor, "b c h w"]:
        """The image in [-1, 1] that an output stands for."""
        return output
