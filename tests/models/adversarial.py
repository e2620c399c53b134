"""A small VQ-VAE with a critic, for tests of models with two players."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vqgen.batch import ImageBatch
from vqgen.models.adversary import Adversary
from vqgen.models.vqvae import VQVAE
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.quantize import EMAQuantizer
from vqgen.optim import Constant, Objective


class Sharp(Adversary):
    """`sharpness` scales the critic's loss."""

    def __init__(self, sharpness: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sharpness = sharpness

    def judge(self, batch: ImageBatch, outputs: Mapping[str, Tensor]) -> Objective:
        judged = super().judge(batch, outputs)
        return judged._replace(loss=self.sharpness * judged.loss)


def small(in_channels: int, batch_norm: bool) -> nn.Module:
    """A critic of 5x5 patches."""
    norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), norm, nn.LeakyReLU(), nn.Conv2d(4, 1, 3))


def adversarial(optimizer: Any = None, sharpness: float = 1.0, batch_norm: bool = False, **critic: Any) -> VQVAE:
    """Past the start by k-means, and with codes that die."""
    torch.manual_seed(0)
    sizes = {"hidden_channels": 8, "residual_channels": 4}
    network = partial(small, batch_norm=batch_norm)
    optimizers = {"optimizer": partial(SGD, lr=0.02)}
    model = VQVAE(
        shape=(1, 8, 8),
        encoder=partial(Encoder, downsampling=2, **sizes),
        quantizer=EMAQuantizer(16, 4, decay=0.5, revive_below=0.5),
        decoder=partial(Decoder, upsampling=2, **sizes),
        likelihood=NormalizedMSE(0.3),
        optimizer=optimizer or partial(Adam, lr=1e-3),
        schedule=Constant(5),
        critic=partial(
            Sharp,
            sharpness=sharpness,
            network=network,
            **optimizers,
            **{"penalty": "none", "adaptive": False, **critic},
        ),
    )
    model.quantizer.codebook.normal_()
    model.quantizer.sums.copy_(model.quantizer.codebook)
    model.quantizer.num_updates.fill_(1)
    return model
