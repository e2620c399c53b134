"""Reconstruction losses that are no likelihoods, with the likelihoods' interface."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class MeanError(nn.Module):
    """An error averaged over all values of the batch; the decoder's output is the image."""

    def num_outputs(self, in_channels: int) -> int:
        """Decoder output channels for images of `in_channels`."""
        return in_channels

    @property
    def loss_weights(self) -> dict[str, float]:
        """What the losses count; one that is not named counts once."""
        return {}

    def error(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Averaged over all values of the batch."""
        raise NotImplementedError

    def losses(
        self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The error as `recon_loss`; a subclass may add others, with `loss_weights`."""
        return {"recon_loss": self.error(output, x)}

    def losses_per_value(
        self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]
    ) -> dict[str, Float[Tensor, ""]]:
        """`losses`, which are averages already."""
        return self.losses(output, x)

    def x_hat(self, output: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The output."""
        return output


class NormalizedMSE(MeanError):
    """Mean squared error divided by the variance of the data: 1 for a model that knows only the mean.

    Args:
        variance: of all values of the training images, in the scale of [-1, 1].
    """

    def __init__(self, variance: float) -> None:
        super().__init__()
        if variance <= 0:
            raise ValueError(f"variance={variance} must be above 0: are all images of one value?")
        self.variance = variance

    def error(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Averaged over all values of the batch."""
        return F.mse_loss(output, x) / self.variance


class L1(MeanError):
    """Mean absolute error: edges stay sharper than with squared errors."""

    def error(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Averaged over all values of the batch."""
        return F.l1_loss(output, x)
