"""Plain stacks of strided convolutions."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod, sqrt
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.sizes import check_divisible, check_widths

Conv = TypeVar("Conv", nn.Conv2d, nn.ConvTranspose2d)


class ConvEncoder(nn.Module):
    """3x3 convolutions of stride 2 with ReLU, then a 1x1 convolution to the latent channels.

    With `hidden_channels` (32, 64) and 16 output channels, the encoder of the small VQ-VAE on 28x28 images.

    Args:
        in_channels: image channels.
        hidden_channels: channels after each convolution; each halves the sides.
        out_channels: channels of the result.
    """

    def __init__(self, in_channels: int, hidden_channels: Sequence[int], out_channels: int):
        check_widths(hidden_channels)
        super().__init__()
        self.downsampling = 2 ** len(hidden_channels)
        self.trunk = conv_trunk(halving_conv, [in_channels, *hidden_channels])
        self.head = nn.Conv2d(hidden_channels[-1], out_channels, kernel_size=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h_l w_l"]:
        """Features, with the sides divided by `downsampling`."""
        check_divisible(x.shape[2:], self.downsampling)
        return self.head(self.trunk(x))


class ConvDecoder(nn.Module):
    """3x3 transposed convolutions of stride 2 with ReLU, then one of stride 1 to the outputs.

    Args:
        in_channels: latent channels.
        hidden_channels: channels after each strided convolution, deepest first; each doubles the sides.
        out_channels: channels of the result.
    """

    def __init__(self, in_channels: int, hidden_channels: Sequence[int], out_channels: int):
        check_widths(hidden_channels)
        super().__init__()
        self.upsampling = 2 ** len(hidden_channels)
        self.trunk = conv_trunk(doubling_conv, [in_channels, *hidden_channels])
        self.head = nn.ConvTranspose2d(hidden_channels[-1], out_channels, kernel_size=3, padding=1)

    def forward(self, z: Float[Tensor, "b d h_l w_l"]) -> Float[Tensor, "b c h w"]:
        """The outputs, with the sides multiplied by `upsampling`."""
        return self.head(self.trunk(z))


def halving_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A convolution to half the sides."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)


def doubling_conv(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """A convolution to twice the sides."""
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, output_padding=1)


def with_relu(conv: Conv) -> list[nn.Module]:
    """The convolution, and ReLU."""
    return [conv, nn.ReLU()]


def conv_trunk(
    conv: Callable[[int, int], Conv], channels: Sequence[int], block: Callable[[Conv], list[nn.Module]] = with_relu
) -> nn.Sequential:
    """A convolution from each number of channels to the next, each with the layers that `block` makes of it."""
    return nn.Sequential(*(layer for pair in pairwise(channels) for layer in block(conv(*pair))))


def keep_scale(conv: Conv) -> Conv:
    """The convolution, started so that a ReLU after it hands on the scale of its input (arXiv 1502.01852, eq. 10).

    torch's own start loses a factor of 2.4 a layer, and of 5 in a transposed one of stride 2, where a result adds up a
    quarter of the taps: of three layers a hundredth is left.
    """
    taps = prod(conv.kernel_size) / (prod(conv.stride) if conv.transposed else 1)
    nn.init.normal_(conv.weight, std=sqrt(2 / (conv.in_channels * taps)))
    return conv
