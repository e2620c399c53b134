"""The critic of patches (pix2pix, arXiv 1611.07004, section 3.2.2)."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.autoencoders.conv import keep_scale
from vqgen.nn.sizes import check_at_least


class PatchCritic(nn.Module):
    """4x4 convolutions of stride 2 with leaky ReLU, and a 3x3 convolution to one number for each patch of the image.

    Nothing is normalised, so that an image is judged by itself, and on any number of ranks alike.

    Args:
        in_channels: image channels.
        hidden_channels: width of the first layer; each further one has twice as many, up to eight times.
        num_layers: each halves the sides: 3 judge patches of 38 pixels, 2 of 18.
    """

    def __init__(self, in_channels: int, hidden_channels: int = 64, num_layers: int = 3) -> None:
        check_at_least(1, hidden_channels=hidden_channels, num_layers=num_layers)
        super().__init__()
        self.downsampling = 2**num_layers
        widths = [in_channels, *(hidden_channels * min(2**i, 8) for i in range(num_layers))]
        convs = [keep_scale(nn.Conv2d(*pair, kernel_size=4, stride=2, padding=1)) for pair in pairwise(widths)]
        layers = [layer for conv in convs for layer in (conv, nn.LeakyReLU(0.2))]
        self.network = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h_p w_p"]:
        """How real each patch of images in [-1, 1] looks: hinge losses want 1 or more of real ones, else -1 or less."""
        check_at_least(self.downsampling, height=x.shape[2], width=x.shape[3])
        return self.network(x)
