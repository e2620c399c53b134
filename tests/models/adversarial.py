"""A small VQ-VAE with a critic, for tests of models with two players."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from vqgen.batch import ImageBatch
from vqgen.models.vqvae import VQVAE
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.quantize import EMAQuantizer
from vqgen.optim import Constant, Objective, Player, weighted


class Adversarial(VQVAE):
    """With the hinge losses of arXiv 1705.02894; `sharpness` scales the critic's loss."""

    def __init__(self, sharpness: float = 1.0, batch_norm: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sharpness = sharpness
        norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
        self.critic = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.LeakyReLU(), nn.Conv2d(4, 1, 3))

    def players(self) -> list[Player]:
        return [*super().players(), Player("critic", r"critic\.", self.judge, partial(SGD, lr=0.02), Constant())]

    def objective(self, batch: ImageBatch) -> Objective:
        forward = self(batch.x)
        x_hat = self.likelihood.x_hat(forward.output)
        adversarial_loss = -self.critic(x_hat).mean()
        plain = self.objective_of(batch.x, forward)._replace(outputs={"x_hat": x_hat})
        return plain.plus({"adversarial_loss": adversarial_loss}, {"adversarial_loss": 0.1})

    def judge(self, batch: ImageBatch, outputs: Mapping[str, Tensor]) -> Objective:
        real, made = self.critic(batch.x), self.critic(outputs["x_hat"])
        return weighted({"hinge": self.sharpness * (F.relu(1 - real).mean() + F.relu(1 + made).mean())}, {})


def adversarial(optimizer: Any = None, **options: Any) -> Adversarial:
    """Past the start by k-means, and with codes that die."""
    torch.manual_seed(0)
    sizes = {"hidden_channels": 8, "residual_channels": 4}
    model = Adversarial(
        shape=(1, 8, 8),
        encoder=partial(Encoder, downsampling=2, **sizes),
        quantizer=EMAQuantizer(16, 4, decay=0.5, revive_below=0.5),
        decoder=partial(Decoder, upsampling=2, **sizes),
        likelihood=NormalizedMSE(0.3),
        optimizer=optimizer or partial(Adam, lr=1e-3),
        schedule=Constant(5),
        **options,
    )
    model.quantizer.codebook.normal_()
    model.quantizer.sums.copy_(model.quantizer.codebook)
    model.quantizer.num_updates.fill_(1)
    return model
