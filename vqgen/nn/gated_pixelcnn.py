"""Gated PixelCNN (van den Oord et al. 2016, arXiv 1606.05328): two gated stacks, no blind spot."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.causal import CausalConv2d, PastConv2d, PastVerticalConv2d, Pointwise, VerticalConv2d
from vqgen.nn.conditioner import Injection, check_condition


class Stacks(NamedTuple):
    """The two feature maps: `vertical` knows the rows above, `horizontal` all earlier positions."""

    vertical: Float[Tensor, "b c h w"]
    horizontal: Float[Tensor, "b c h w"]


def gate(x: Float[Tensor, "b c2 h w"]) -> Float[Tensor, "b c h w"]:
    """tanh of the first half of the channels times the sigmoid of the second (eq. 2)."""
    signal, opening = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(opening)


class GatedLayer(nn.Module):
    """One layer of both stacks (fig. 2), with the condition added inside every gate (eq. 4)."""

    def __init__(self, channels: int, kernel_size: int, condition_channels: int, dropout: float):
        super().__init__()
        self.vertical = VerticalConv2d(channels, 2 * channels, kernel_size // 2 + 1, kernel_size)
        self.horizontal = CausalConv2d(channels, 2 * channels, 1, kernel_size)
        self.link = Pointwise(2 * channels, 2 * channels)
        self.output = Pointwise(channels, channels)
        self.inject_vertical = Injection(condition_channels, 2 * channels)
        self.inject_horizontal = Injection(condition_channels, 2 * channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, stacks: Stacks, condition: Float[Tensor, "#b e #h #w"] | None) -> Stacks:
        """All positions at once."""
        vertical = self.vertical(stacks.vertical)
        horizontal = self.horizontal(self.dropout(stacks.horizontal)) + self.link(vertical)
        update = self.output(gate(self.inject_horizontal(horizontal, condition)))
        return Stacks(gate(self.inject_vertical(vertical, condition)), stacks.horizontal + update)


class GatedPixelCNN(nn.Module):
    """Logits of every code given all codes before it in raster order.

    Args:
        num_embeddings: size K of the codebook.
        condition_channels: channels of the condition map; 0 for a prior without condition.
        hidden_channels: width of each stack.
        num_layers: gated layers after the input layer.
        kernel_size: width of the layers' windows, odd; the input layer's is 7.
        output_channels: width of the 1x1 layer before the logits.
        dropout: share of the horizontal features dropped at the input of each layer; 0 to 0.5.
    """

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        hidden_channels: int = 64,
        num_layers: int = 15,
        kernel_size: int = 3,
        output_channels: int = 256,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_embeddings, self.condition_channels = num_embeddings, condition_channels
        self.embedding = nn.Embedding(num_embeddings, hidden_channels)
        self.input_vertical = PastVerticalConv2d(hidden_channels, hidden_channels, 4, 7)
        self.input_horizontal = PastConv2d(hidden_channels, hidden_channels, 1, 7)
        self.layers = nn.ModuleList(
            GatedLayer(hidden_channels, kernel_size, condition_channels, dropout) for _ in range(num_layers)
        )
        self.hidden = Pointwise(hidden_channels, output_channels)
        self.output = Pointwise(output_channels, num_embeddings)

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only."""
        return self.logits(self.embed(codes), condition)

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        """The code vectors of the prior's own embedding, for `logits`."""
        return self.embedding(codes).permute(0, 3, 1, 2)

    def logits(
        self, embedded: Float[Tensor, "b c h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """What `forward` computes, from embedded codes."""
        check_condition(self.condition_channels, condition)
        vertical = self.input_vertical(embedded)
        stacks = Stacks(vertical, self.input_horizontal(embedded) + vertical)
        for layer in self.layers:
            stacks = layer(stacks, condition)
        return self.output(F.relu(self.hidden(F.relu(stacks.horizontal))))
