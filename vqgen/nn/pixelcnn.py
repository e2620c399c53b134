"""PixelCNN over maps of codes (van den Oord et al. 2016, arXiv 1601.06759): one stack, masked."""

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.causal import MaskedConv2d, OneHotConv2d, Pointwise
from vqgen.nn.conditioner import Injection, check_condition


class MaskedResidualBlock(nn.Module):
    """Residual block of 1x1, masked 3x3 at half width, 1x1, each with a ReLU; conditioned at its input."""

    def __init__(self, channels: int, condition_channels: int):
        super().__init__()
        self.inject = Injection(condition_channels, channels)
        self.reduce = Pointwise(channels, channels)
        self.conv = MaskedConv2d(channels, channels // 2, kernel_size=3)
        self.expand = Pointwise(channels // 2, channels)

    def forward(
        self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "#b e #h #w"] | None
    ) -> Float[Tensor, "b c h w"]:
        """All positions at once."""
        y = F.relu(self.reduce(self.inject(x, condition)))
        y = F.relu(self.conv(y))
        return x + F.relu(self.expand(y))


class PixelCNN(nn.Module):
    """Logits of every code given the codes before it in raster order.

    A 7x7 mask-A convolution of the one-hot codes, residual blocks, ``num_output_layers`` 1x1 convolutions and
    a 1x1 to the codebook. Its masked window has a blind spot to the right (`GatedPixelCNN` has not).

    Args:
        num_embeddings: size K of the codebook.
        condition_channels: channels of the condition map; 0 for a prior without condition.
        hidden_channels: width, even. The defaults give 1,049,728 parameters at K = 128.
        num_residual_blocks: depth of the masked stack.
        num_output_layers: 1x1 layers before the logits.
    """

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        hidden_channels: int = 128,
        num_residual_blocks: int = 2,
        num_output_layers: int = 2,
    ):
        super().__init__()
        self.num_embeddings, self.condition_channels = num_embeddings, condition_channels
        self.input = OneHotConv2d(num_embeddings, hidden_channels, kernel_size=7)
        self.blocks = nn.ModuleList(
            MaskedResidualBlock(hidden_channels, condition_channels) for _ in range(num_residual_blocks)
        )
        widths = [hidden_channels] * (num_output_layers + 1) + [num_embeddings]
        self.output = nn.ModuleList(Pointwise(i, o) for i, o in pairwise(widths))

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only."""
        return self._from_features(self.input.lookup(codes), condition)

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b k h w"]:
        """One-hot codes, for `logits`."""
        return F.one_hot(codes.long(), self.num_embeddings).permute(0, 3, 1, 2).to(self.input.weight.dtype)

    def logits(
        self, embedded: Float[Tensor, "b k h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """What `forward` computes, from (possibly soft) one-hot codes."""
        return self._from_features(self.input(embedded), condition)

    def _from_features(self, features: Tensor, condition: Tensor | None) -> Tensor:
        check_condition(self.condition_channels, condition)
        x = F.relu(features)
        for block in self.blocks:
            x = block(x, condition)
        for layer in self.output[:-1]:
            x = F.relu(layer(x))
        return self.output[-1](x)
