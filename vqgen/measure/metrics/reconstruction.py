"""How close reconstructions are to their images."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure, StructuralSimilarityIndexMeasure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from vqgen.measure.metrics.weave import Weave

WINDOW = 11  # of SSIM, in pixels
MS_SSIM_SIDE = 176  # the window fits into the last of five scales, each half of the one before


class Reconstruction(torch.nn.Module):
    """Errors of images in [-1, 1], averaged over the images of all batches, in the process that takes them alone.

    `mse` and `nmse` (divided by the variance of the data; 1 for a model that knows only the mean) are in the scale of
    [-1, 1]; `psnr` is in dB and averaged over images; `ssim` (Wang et al. 2004, doi 10.1109/TIP.2003.819861) and, from
    176 pixels on, `ms_ssim` are at most 1. `weave` and `ripple` are of plain ground, where there is any (see `Weave`).

    Args:
        size: (height, width) of the images.
        variance: of all values of the training images, in the scale of [-1, 1].
        lpips: perceptual distance (arXiv 1801.03924), where its weights are there; 0 for equal images.
    """

    def __init__(
        self, size: tuple[int, int], variance: float, lpips: LearnedPerceptualImagePatchSimilarity | None = None
    ) -> None:
        super().__init__()
        self.variance = variance
        self.mse, self.psnr = MeanMetric(sync_on_compute=False), MeanMetric(sync_on_compute=False)
        similarity: dict[str, Metric | MetricCollection] = {}
        if min(size) >= WINDOW:
            similarity["ssim"] = StructuralSimilarityIndexMeasure(data_range=1.0, sync_on_compute=False)
        if min(size) >= MS_SSIM_SIDE:
            similarity["ms_ssim"] = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0, sync_on_compute=False)
        self.similarity = MetricCollection(similarity)
        self.lpips = lpips
        self.weave = Weave()

    def update(self, x: Float[Tensor, "b c h w"], x_hat: Float[Tensor, "b c h w"]) -> None:
        """Compare a batch with its reconstruction."""
        self.mse.update((x - x_hat).square().mean((1, 2, 3)))
        self.psnr.update(peak_signal_noise_ratio(x_hat, x, data_range=2.0, dim=(1, 2, 3), reduction="none"))
        if self.similarity:
            self.similarity.update((x_hat + 1) / 2, (x + 1) / 2)  # SSIM is not the same for values below zero
        self.weave.update(x, x_hat)
        if self.lpips is not None:
            self.lpips.update(x_hat.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1))

    def compute(self) -> dict[str, float]:
        """The averages by name."""
        mse = float(self.mse.compute())
        values: dict[str, Tensor | float] = {"mse": mse, "nmse": mse / self.variance, "psnr": self.psnr.compute()}
        values |= self.similarity.compute() if self.similarity else {}
        values |= self.weave.compute()
        values |= {"lpips": self.lpips.compute()} if self.lpips is not None else {}
        return {name: float(value) for name, value in values.items()}
