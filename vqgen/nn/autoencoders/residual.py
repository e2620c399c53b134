"""Encoder and decoder of VQ-VAE (arXiv 1711.00937, section 4.1): strided convolutions, residual blocks."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.errors import near_miss
from vqgen.nn.autoencoders.conv import keep_scale
from vqgen.nn.sizes import check_at_least, check_divisible, num_doublings

UPSAMPLES = ("transposed", "resize", "shuffle")


class ResidualBlock(nn.Module):
    """x + conv1x1(ReLU(conv3x3(ReLU(x)))), with `residual_channels` between the two convolutions."""

    def __init__(self, channels: int, residual_channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, residual_channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(residual_channels, channels, kernel_size=1),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same shape as the input."""
        return x + self.branch(x)


class Encoder(nn.Module):
    """4x4 convolutions of stride 2, a 3x3 convolution, residual blocks, and a 1x1 convolution to the output.

    Args:
        in_channels: channels of the image, or of the features of the level below.
        hidden_channels: width of the residual blocks; the first convolution has half of it.
        out_channels: channels of the result; a quantizer wants its `embedding_dim`. None leaves the last convolution
            out.
        downsampling: how much smaller height and width become, a power of two.
        num_residual_blocks: 2 in the papers.
        residual_channels: width inside a residual block, 32 or 64 in the papers.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int | None,
        downsampling: int,
        num_residual_blocks: int = 2,
        residual_channels: int = 32,
    ):
        _check_sizes(hidden_channels, num_residual_blocks, residual_channels)
        super().__init__()
        self.downsampling = downsampling
        num_steps = num_doublings("downsampling", downsampling)
        widths = [in_channels, hidden_channels // 2, *[hidden_channels] * (num_steps - 1)]
        convs = [nn.Conv2d(*pair, kernel_size=4, stride=2, padding=1) for pair in pairwise(widths)]
        for conv in convs[2:]:  # two start as the published results did; of more, nothing would come out
            keep_scale(conv)
        self.network = nn.Sequential(
            *(layer for conv in convs for layer in (conv, nn.ReLU())),
            nn.Conv2d(widths[-1], hidden_channels, kernel_size=3, padding=1),
            *[ResidualBlock(hidden_channels, residual_channels) for _ in range(num_residual_blocks)],
            nn.ReLU(),
            *([] if out_channels is None else [nn.Conv2d(hidden_channels, out_channels, kernel_size=1)]),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h_l w_l"]:
        """Features, with the sides divided by `downsampling`."""
        check_divisible(x.shape[2:], self.downsampling)
        return self.network(x)


class Repeat(nn.Module):
    """Each pixel four times: a map of twice the sides; on a GPU deterministic, unlike torch's own."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """The larger map."""
        b, c, h, w = x.shape
        return x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2).reshape(b, c, 2 * h, 2 * w)


def doubling(upsample: str, in_channels: int, out_channels: int) -> nn.Module:
    """A layer that doubles height and width.

    Args:
        upsample: `transposed`, a 4x4 convolution of stride 2, transposed, as in the papers: neighbouring pixels are
            made by different weights, which leaves a weave on plain ground; `resize`, pixels repeated and a 3x3
            convolution, which is without one at the start; `shuffle`, a 3x3 convolution to four times the channels,
            which become pixels (arXiv 1609.05158): four sets of weights, which start alike (arXiv 1707.02937).
        in_channels, out_channels: as in `torch.nn.Conv2d`.
    """
    if upsample == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1)
    if upsample == "resize":
        return nn.Sequential(Repeat(), nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1))
    if upsample != "shuffle":
        raise ValueError(f"upsample={upsample}: no such way{near_miss(upsample, UPSAMPLES)}")
    conv = nn.Conv2d(in_channels, 4 * out_channels, kernel_size=3, padding=1)
    for parameter in (conv.weight, conv.bias):
        assert parameter is not None
        with torch.no_grad():
            parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))
    return nn.Sequential(conv, nn.PixelShuffle(2))


class Decoder(nn.Module):
    """A 3x3 convolution, residual blocks, and layers that double the sides.

    Args:
        in_channels: channels of the code vectors.
        hidden_channels: width of the residual blocks; the last hidden layer has half of it.
        out_channels: of the result: image channels, or as many as a likelihood asks for.
        upsampling: how much larger height and width become, a power of two.
        upsample: how sides are doubled, see `doubling`; `transposed` in the papers.
        Others as in `Encoder`.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        upsampling: int,
        num_residual_blocks: int = 2,
        residual_channels: int = 32,
        upsample: str = "transposed",
    ):
        _check_sizes(hidden_channels, num_residual_blocks, residual_channels)
        super().__init__()
        self.upsampling = upsampling
        num_steps = num_doublings("upsampling", upsampling)
        inner = [*[hidden_channels] * (num_steps - 2), hidden_channels // 2] if num_steps > 1 else []
        widths = [hidden_channels, *inner, out_channels]
        convs = [doubling(upsample, *pair) for pair in pairwise(widths)]
        for conv in convs[:-2]:  # as in the encoder, all but two
            if isinstance(conv, nn.ConvTranspose2d):
                keep_scale(conv)
        self.network = nn.Sequential(
            nn.Conv2d(in_channels, hidden_channels, kernel_size=3, padding=1),
            *[ResidualBlock(hidden_channels, residual_channels) for _ in range(num_residual_blocks)],
            *(layer for conv in convs for layer in (nn.ReLU(), conv)),
        )

    def forward(self, z: Float[Tensor, "b d h_l w_l"]) -> Float[Tensor, "b c h w"]:
        """The outputs, with the sides multiplied by `upsampling`."""
        return self.network(z)


def _check_sizes(hidden_channels: int, num_residual_blocks: int, residual_channels: int) -> None:
    check_at_least(2, hidden_channels=hidden_channels)  # halved at one place
    check_at_least(1, residual_channels=residual_channels)
    check_at_least(0, num_residual_blocks=num_residual_blocks)
