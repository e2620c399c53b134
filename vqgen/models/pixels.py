"""Pixels as codes: a tokenizer that learns nothing, on which every prior is a model of pixels (arXiv 1601.06759)."""

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.batch import ImageBatch, from_bytes, to_bytes
from vqgen.models.base import ModelOptions
from vqgen.models.discrete_autoencoder import DiscreteAutoencoder, Forward
from vqgen.nn.likelihoods.likelihoods import Exact
from vqgen.nn.quantize import Quantization, Quantizer
from vqgen.optim import Objective, weighted

COLOURS = ["red", "green", "blue"]


class Pixels(DiscreteAutoencoder):
    """The grey values of each channel are a level of codes: of one grid, the red above the green above the blue.

    With 256 values nothing is lost: the bits of a prior's codes are those of the image, and a file that `task=compress`
    makes holds every byte of it. With fewer, an image is what its values are rounded down to.

    Args:
        shape: (channels, height, width) of the images.
        num_values: grey values of a channel, evenly spaced: 256 for the bytes themselves, 2 for black and white.
        model: optimizer and schedule, of which nothing is asked.
    """

    num_values: Tensor

    def __init__(self, shape: Sequence[int], num_values: int = 256, **model: Unpack[ModelOptions]) -> None:
        if not 2 <= num_values <= 256:
            raise ValueError(f"{num_values=} must be from 2 to 256: an image has 256 grey values")
        channels, height, width = shape
        super().__init__(shape, [(height, width)] * channels, [num_values] * channels, Exact(), **model)
        self.register_buffer("num_values", torch.tensor(num_values))  # it decides the codes

    @property
    def level_names(self) -> list[str]:
        """Names of the channels."""
        return COLOURS if len(self.grids) == 3 else super().level_names

    def forward(self, x: Float[Tensor, "b c h w"]) -> Forward:
        """The images as their codes have them."""
        codes = self.encode(x)
        values = [self._grey(level) for level in codes]
        return Forward(torch.cat(values, 1), [Quantization(z, c, {}) for z, c in zip(values, codes, strict=True)])

    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b 1 h w"]]:
        """The channels."""
        return list(x.split(1, dim=1))

    def nearest(self, features: list[Float[Tensor, "b 1 h w"]]) -> list[Int[Tensor, "b h w"]]:
        """The number of each grey value, a map for each channel."""
        size = self.num_embeddings[0]
        return [to_bytes(z.squeeze(1)).long() * size // 256 for z in features]

    def code_vectors(self, level: int) -> Float[Tensor, "k 1"]:
        """The grey values in [-1, 1]."""
        return self._grey(torch.arange(self.num_embeddings[level], device=self.device)[None, None])[0, 0].T

    def decode_output(self, codes: Sequence[Int[Tensor, "b h w"] | None]) -> Float[Tensor, "b c h w"]:
        """The grey values of each channel; of one that is None, or left out at the end, the middle of them."""
        given = [*codes, *[None] * (len(self.grids) - len(codes))]
        like = next(level for level in given if level is not None)
        grey = torch.zeros(len(like), 1, *self.grids[0], device=like.device)
        return torch.cat([grey if level is None else self._grey(level) for level in given], 1)

    def _grey(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b 1 h w"]:
        """The values of codes in [-1, 1]: the darkest is black, the lightest white."""
        return from_bytes((codes.float() * (255 / (self.num_embeddings[0] - 1))).round().to(torch.uint8))[:, None]

    @property
    def quantizers(self) -> list[Quantizer]:
        """None."""
        return []

    def objective_of(self, x: Float[Tensor, "b c h w"], forward: Forward) -> Objective:
        """What is lost of the images: nothing, of all 256 values."""
        return weighted(self.likelihood.losses_per_value(forward.output, x), {})

    def on_train_batch_start(self, batch: ImageBatch, batch_idx: int) -> None:
        """There is nothing to learn: the first batch is the last."""
        self.trainer.should_stop = True

    def training_step(self, batch: ImageBatch, batch_idx: int) -> None:
        """Nothing is learnt."""

    def configure_optimizers(self) -> None:
        """Nothing is learnt."""
