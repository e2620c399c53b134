"""Convolutional encoders to, and decoders from, one vector for the whole image (AE and VAE)."""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.autoencoders.conv import Conv, conv_trunk, doubling_conv, halving_conv, keep_scale
from vqgen.nn.sizes import check_divisible, check_widths


def _scaled(conv: Conv) -> list[nn.Module]:
    return [keep_scale(conv), nn.ReLU()]


def _normalized(conv: Conv) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.LeakyReLU(0.2)]


class FlatConvEncoder(nn.Module):
    """3x3 convolutions of stride 2 with ReLU, flattened to a vector of `num_features`.

    Args:
        shape: (channels, height, width) of the images.
        hidden_channels: channels after each convolution; each halves the sides.
    """

    block = staticmethod(_scaled)

    def __init__(self, shape: Sequence[int], hidden_channels: Sequence[int]):
        check_widths(hidden_channels)
        super().__init__()
        channels, *sides = shape
        grid = _grid(sides, len(hidden_channels))
        self.shape = tuple(shape)
        self.num_features = hidden_channels[-1] * prod(grid)
        self.trunk = conv_trunk(halving_conv, [channels, *hidden_channels], self.block)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """Features of each image."""
        if x.shape[1:] != self.shape:
            raise ValueError(f"x has shape {tuple(x.shape[1:])}, but the encoder was built for images of {self.shape}")
        return self.trunk(x).flatten(1)


class FlatConvDecoder(nn.Module):
    """A dense layer, 3x3 transposed convolutions of stride 2 with ReLU, and a 3x3 convolution to the outputs.

    Args:
        latent_dim: numbers in a latent vector.
        shape: (channels, height, width) of the images.
        out_channels: of the result: image channels, or as many as a likelihood asks for.
        hidden_channels: channels after each strided convolution, deepest first; each doubles the sides.
    """

    block = staticmethod(_scaled)

    def __init__(self, latent_dim: int, shape: Sequence[int], out_channels: int, hidden_channels: Sequence[int]):
        check_widths(hidden_channels)
        super().__init__()
        grid = _grid(shape[1:], len(hidden_channels))
        deepest = hidden_channels[0]
        self.dense = nn.Linear(latent_dim, deepest * prod(grid))
        self.unflatten = nn.Unflatten(1, (deepest, *grid))
        self.trunk = conv_trunk(doubling_conv, [deepest, *hidden_channels], self.block)
        self.head = nn.Conv2d(hidden_channels[-1], out_channels, kernel_size=3, padding=1)

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b o h w"]:
        """A map of outputs for each latent vector."""
        return self.head(self.trunk(self.unflatten(self.dense(z))))


class FlatNormConvEncoder(FlatConvEncoder):
    """`FlatConvEncoder` with batch norm and leaky ReLU instead of ReLU: for deeper stacks."""

    block = staticmethod(_normalized)


class FlatNormConvDecoder(FlatConvDecoder):
    """`FlatConvDecoder` with batch norm and leaky ReLU instead of ReLU: for deeper stacks."""

    block = staticmethod(_normalized)


def _grid(sides: Sequence[int], num_halvings: int) -> list[int]:
    stride = 2**num_halvings
    check_divisible(sides, stride)
    return [side // stride for side in sides]
