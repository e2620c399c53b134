"""The networks of VQ-VAE-2 (Razavi et al., arXiv 1906.00446, figure 2a and section 3.1), for two levels or more."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod
from operator import mul

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.autoencoders.residual import Decoder, Encoder, doubling
from vqgen.nn.quantize import Quantization, Quantizer
from vqgen.nn.sizes import check_divisible, num_doublings


class HierarchyEncoder(nn.Module):
    """Images to quantized maps, the top level first; each level is given what the level above has said already.

    Args:
        in_channels: image channels.
        downsampling: for each level, top first, how much smaller its grid is than that of the level below (of the
            image, for the last): [2, 4] has the bottom at a quarter of the image's side and the top at an eighth.
        quantizers: one of each level, top first.
        hidden_channels: width of the residual blocks; 128 in the paper.
        num_residual_blocks: 2 in the paper.
        residual_channels: width inside a residual block; 64 in the paper.
        two_projections: a 1x1 convolution after each level's residual blocks, before the one to its code vectors, which
            can do all that both can: runs had it until there was this option.
    """

    def __init__(
        self,
        in_channels: int,
        downsampling: Sequence[int],
        quantizers: Sequence[Quantizer],
        hidden_channels: int = 128,
        num_residual_blocks: int = 2,
        residual_channels: int = 64,
        two_projections: bool = False,
    ) -> None:
        super().__init__()
        self.downsampling = prod(downsampling)
        sizes = (num_residual_blocks, residual_channels)
        channels = [*[hidden_channels] * (len(downsampling) - 1), in_channels]
        self.features = nn.ModuleList(
            Encoder(c, hidden_channels, hidden_channels if two_projections else None, factor, *sizes)
            for c, factor in zip(channels, downsampling, strict=True)
        )
        self.quantizers = nn.ModuleList(quantizers)
        dims = [quantizer.embedding_dim for quantizer in quantizers]
        widths = [hidden_channels, *[hidden_channels + dim for dim in dims[:-1]]]
        self.heads = nn.ModuleList(nn.Conv2d(w, dim, kernel_size=1) for w, dim in zip(widths, dims, strict=True))
        self.conditions = nn.ModuleList(
            Decoder(dim, hidden_channels, dim, factor, *sizes)
            for dim, factor in zip(dims[:-1], downsampling[:-1], strict=True)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Quantization]:
        """What each level's quantizer makes of an image, top first."""
        return self._levels(x, lambda quantizer, z_e: quantizer(z_e))

    def encode(self, x: Float[Tensor, "b c h w"]) -> list[Quantization]:
        """As `forward`, but no codebook learns from it, in training mode neither."""
        return self._levels(x, lambda quantizer, z_e: quantizer.look_up(z_e))

    def z_e(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """What each level's quantizer is given when images are encoded, top first."""
        inputs: list[Tensor] = []

        def look_up(quantizer: Quantizer, z_e: Tensor) -> Quantization:
            inputs.append(z_e)
            return quantizer.look_up(z_e)

        self._levels(x, look_up)
        return inputs

    def _levels(self, x: Tensor, quantize: Callable[[Quantizer, Tensor], Quantization]) -> list[Quantization]:
        check_divisible(x.shape[2:], self.downsampling)
        features: list[Tensor] = []  # of each level, top first
        for encoder in reversed(self.features):
            features.insert(0, encoder(features[0] if features else x))
        levels: list[Quantization] = []
        for i, (quantizer, head, h) in enumerate(zip(self.quantizers, self.heads, features, strict=True)):
            if levels:
                h = torch.cat([h, self.conditions[i - 1](levels[-1].z_q)], dim=1)
            assert isinstance(quantizer, Quantizer)
            levels.append(quantize(quantizer, head(h)))
        return levels


class HierarchyDecoder(nn.Module):
    """Quantized maps of all levels, each brought to the bottom's grid, to the likelihood's parameters.

    Args:
        embedding_dims: channels of each level's code vectors, top first.
        out_channels: of the result: image channels, or as many as a likelihood asks for.
        upsample: how sides are doubled, see `vqgen.nn.autoencoders.residual.doubling`; `transposed` in the paper.
        Others as in `HierarchyEncoder`.
    """

    def __init__(
        self,
        embedding_dims: Sequence[int],
        downsampling: Sequence[int],
        out_channels: int,
        hidden_channels: int = 128,
        num_residual_blocks: int = 2,
        residual_channels: int = 64,
        upsample: str = "transposed",
    ) -> None:
        super().__init__()
        to_bottom = list(accumulate(reversed(downsampling[:-1]), mul))[::-1]
        self.upsamplings = nn.ModuleList(
            _doublings(dim, factor, upsample) for dim, factor in zip(embedding_dims[:-1], to_bottom, strict=True)
        )
        sizes = (num_residual_blocks, residual_channels)
        self.decoder = Decoder(sum(embedding_dims), hidden_channels, out_channels, downsampling[-1], *sizes, upsample)

    def forward(self, z_q: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """The likelihood's parameters, from the quantized maps of all levels, top first."""
        *upper, bottom = z_q
        upsampled = [upsample(z) for upsample, z in zip(self.upsamplings, upper, strict=True)]
        return self.decoder(torch.cat([*upsampled, bottom], dim=1))


def _doublings(channels: int, factor: int, upsample: str) -> nn.Sequential:
    """Layers that double the sides until they are `factor` times as long."""
    number = num_doublings("downsampling", factor)
    return nn.Sequential(*(doubling(upsample, channels, channels) for _ in range(number)))
