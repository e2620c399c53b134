"""The Inception-v3 network of the published FID (arXiv 1706.08500), for images in [-1, 1]."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.batch import to_bytes
from vqgen.protocols import Features

_OUTPUTS = ["2048", "logits_unbiased"]
FILE = "weights-inception-2015-12-05-6726825d.pth"


class Inception(nn.Module):
    """Features and class probabilities of torch-fidelity's Inception-v3, the weights of the original FID.

    Args:
        weights: file of the weights; None looks where torch.hub keeps what it downloads.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: torch-fidelity is not installed.
    """

    num_features = 2048

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        from torchmetrics.image.fid import NoTrainInceptionV3  # asks for torch-fidelity only when built

        path = Path(weights) if weights else Path(torch.hub.get_dir(), "checkpoints", FILE)
        if not path.is_file():
            raise FileNotFoundError(str(path))
        # without antialiasing, as the original resized its images
        self.network = NoTrainInceptionV3("inception-v3-compat", _OUTPUTS, str(path), antialias=False)

    def describe(self, x: Float[Tensor, "b c h w"]) -> Features:
        """Feature vectors, and log-probabilities of the 1008 outputs; grey images are taken as RGB."""
        pixels = to_bytes(x).expand(-1, 3, -1, -1)
        vectors, logits = self.network._torch_fidelity_forward(pixels)
        return Features(vectors, logits.log_softmax(1))
