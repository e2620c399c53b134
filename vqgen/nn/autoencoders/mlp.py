"""Dense encoders and decoders of whole images (the MLPs of arXiv 1312.6114, appendix C)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.sizes import check_widths


class MLPEncoder(nn.Module):
    """Dense layers with tanh, from all values of an image to a vector of `num_features`.

    Args:
        shape: (channels, height, width) of the images.
        hidden_channels: width of each layer; (500,) in the paper.
    """

    def __init__(self, shape: Sequence[int], hidden_channels: Sequence[int]):
        check_widths(hidden_channels)
        super().__init__()
        self.num_features = hidden_channels[-1]
        self.network = nn.Sequential(nn.Flatten(), *_layers([prod(shape), *hidden_channels]))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """Features of each image."""
        return self.network(x)


class MLPDecoder(nn.Module):
    """Dense layers with tanh, and one to all outputs of an image.

    Args:
        latent_dim: numbers in a latent vector.
        shape: (channels, height, width) of the images.
        out_channels: of the result: image channels, or as many as a likelihood asks for.
        hidden_channels: width of each layer; (500,) in the paper.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], out_channels: int, hidden_channels: Sequence[int]):
        check_widths(hidden_channels)
        super().__init__()
        _, height, width = shape
        self.network = nn.Sequential(
            *_layers([latent_dim, *hidden_channels]),
            nn.Linear(hidden_channels[-1], out_channels * height * width),
            nn.Unflatten(1, (out_channels, height, width)),
        )

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b o h w"]:
        """A map of outputs for each latent vector."""
        return self.network(z)


def _layers(widths: Sequence[int]) -> list[nn.Module]:
    return [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
