"""Reconstruction losses that are no likelihoods."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vqgen.nn.likelihoods.base import Losses, ReconstructionLoss


class NormalizedMSE(ReconstructionLoss):
    """Mean squared error divided by the variance of the data: 1 for a model that knows only the mean.

    Args:
        variance: of all values of the training images, in the scale of [-1, 1].
    """

    def __init__(self, variance: float) -> None:
        super().__init__()
        if variance <= 0:
            raise ValueError(f"variance={variance} must be above 0: are all images of one value?")
        self.variance = variance

    def losses(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """`recon_loss`, averaged over all values of the batch."""
        return {"recon_loss": F.mse_loss(output, x) / self.variance}


class L1(ReconstructionLoss):
    """Mean absolute error: edges stay sharper than with squared errors."""

    def losses(self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"]) -> Losses:
        """`recon_loss`, averaged over all values of the batch."""
        return {"recon_loss": F.l1_loss(output, x)}
