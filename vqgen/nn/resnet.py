"""A small residual network for classification (pre-activation blocks, arXiv 1603.05027)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.sizes import check_at_least, check_share, check_widths


class PreActivationBlock(nn.Module):
    """skip(x) + conv3x3(ReLU(BN(conv3x3(ReLU(BN(x)))))), arXiv 1603.05027, figure 1b.

    Stride 2 halves height and width (and rounds up).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        changes = stride != 1 or in_channels != out_channels
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False) if changes else None
        self.stride = stride

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """The block's result; where the size changes, the skip connection starts after the first activation."""
        activated = self.activation(x)
        if self.skip is None:
            return self.branch(activated) + x
        # A 1x1 convolution of stride 2 is none of every second pixel; of few channels its own backward pass writes past
        # its memory on CPUs (oneDNN's issue 6035).
        return self.branch(activated) + self.skip(activated[:, :, :: self.stride, :: self.stride])


class ResNet(nn.Module):
    """A 3x3 convolution, stages of blocks that each halve the size, the mean over all positions, a linear layer.

    Args:
        in_channels: channels of the image.
        num_classes: number of logits.
        hidden_channels: width of each stage; the last is the number of features. Three stages suit images of 28 to 32
            pixels; add one for each doubling of the size.
        num_residual_blocks: in each stage.
        dropout: on the features, before the linear layer.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: Sequence[int] = (32, 64, 128),
        num_residual_blocks: int = 1,
        dropout: float = 0.0,
    ) -> None:
        check_widths(hidden_channels)
        check_at_least(1, num_residual_blocks=num_residual_blocks)
        check_share(dropout=dropout)
        super().__init__()
        width = hidden_channels[0]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False)]
        for wider in hidden_channels:
            layers.append(PreActivationBlock(width, wider, stride=2))
            layers += [PreActivationBlock(wider, wider) for _ in range(num_residual_blocks - 1)]
            width = wider
        self.num_features = width
        self.body = nn.Sequential(
            *layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """`num_features` numbers, none negative, for each image of any size."""
        return self.body(x)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of the classes."""
        return self.head(self.features(x))
