"""VQ-VAE-2 (Razavi et al., Generating Diverse High-Fidelity Images with VQ-VAE-2, arXiv 1906.00446)."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.models.discrete_autoencoder import DiscreteAutoencoder, Forward, TokenizerOptions
from vqgen.nn.autoencoders.hierarchy import HierarchyDecoder, HierarchyEncoder
from vqgen.nn.likelihoods import ReconstructionLoss
from vqgen.nn.quantize import Quantizer, of_level
from vqgen.nn.sizes import check_divisible, num_doublings


class VQVAE2(DiscreteAutoencoder):
    """A hierarchy of code maps: the top is quantised first and conditions the next; the decoder sees all.

    Args:
        shape: (channels, height, width) of the images; the product of `downsampling` must divide height and width.
        downsampling: for each level, top first, how much smaller its grid is than that of the level below (of the
            image, for the last), a power of two: [2, 4] is the two-level model of the paper at 256x256.
        quantizer: makes the quantizer of a level; where a seed is bound to it, each level has one of its own.
        likelihood: compares the decoder's output with the image.
        hidden_channels: width of the residual blocks; 128 in the paper.
        num_residual_blocks: 2 in the paper.
        residual_channels: width inside a residual block; 64 in the paper.
        upsample: how the decoder doubles sides: `transposed` as in the paper, `resize` or `shuffle` (see `doubling`).
        two_projections: see `HierarchyEncoder`; a run that says nothing of it is an old one, which has them.
        model: optimizer, schedule and critic.
    """

    def __init__(
        self,
        shape: Sequence[int],
        downsampling: Sequence[int],
        quantizer: Callable[..., Quantizer],
        likelihood: ReconstructionLoss,
        hidden_channels: int = 128,
        num_residual_blocks: int = 2,
        residual_channels: int = 64,
        upsample: str = "transposed",
        two_projections: bool = True,
        **model: Unpack[TokenizerOptions],
    ) -> None:
        if len(downsampling) < 2:
            raise ValueError(f"downsampling={list(downsampling)} has fewer than two levels: take model=vqvae")
        for i, step in enumerate(downsampling):
            num_doublings(f"downsampling[{i}]", step)  # told before the size, of which it is the cause
        factors = list(accumulate(reversed(downsampling), mul))[::-1]
        channels, height, width = shape
        check_divisible((height, width), factors[0])
        quantizers = [of_level(quantizer, level) for level in range(len(downsampling))]
        grids = [(height // factor, width // factor) for factor in factors]
        super().__init__(shape, grids, [q.num_embeddings for q in quantizers], likelihood, **model)
        sizes = (hidden_channels, num_residual_blocks, residual_channels)
        self.encoder = HierarchyEncoder(channels, downsampling, quantizers, *sizes, two_projections)
        dims = [q.embedding_dim for q in quantizers]
        self.decoder = HierarchyDecoder(dims, downsampling, likelihood.num_outputs(channels), *sizes, upsample)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Forward:
        """Encode and quantise from the top down, decode from all levels (algorithm 1)."""
        levels = self.encoder(x)
        return Forward(self.decoder([level.z_q for level in levels]), levels)

    def encode(self, x: Float[Tensor, "b c h w"]) -> list[Int[Tensor, "b _ _"]]:
        """Code maps of images in [-1, 1], top level first."""
        return [level.codes for level in self.encoder.encode(x)]

    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """What each level's quantizer is given; that of a lower level depends on the codes of those above."""
        return self.encoder.z_e(x)

    @property
    def quantizers(self) -> list[Quantizer]:
        """The quantizer of each level, top first."""
        return list(self.encoder.quantizers)  # type: ignore[arg-type]

    def decode_output(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b o h w"]:
        """The decoder's output for code maps, top level first.

        Levels that are None, or left out at the end, count as zero vectors; one at least must be given.
        """
        given = [*codes, *[None] * (len(self.grids) - len(codes))]
        b = next(len(c) for c in given if c is not None)
        dtype = next(self.decoder.parameters()).dtype
        embedded = [
            torch.zeros(b, quantizer.embedding_dim, *grid, device=self.device, dtype=dtype)
            if c is None
            else quantizer.embed(c)
            for quantizer, c, grid in zip(self.quantizers, given, self.grids, strict=True)
        ]
        return self.decoder(embedded)
