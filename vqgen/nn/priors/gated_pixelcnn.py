"""Gated PixelCNN (van den Oord et al. 2016, arXiv 1606.05328): two gated stacks, no blind spot.

Beyond the paper, the vertical stack has a residual path too and starts at a scale that lasts: without them a gate
passes on a quarter of its signal, and after ten layers nothing of the code is left.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.priors.causal import CausalConv2d, PastConv2d, PastVerticalConv2d, PointwiseConv2d, VerticalConv2d
from vqgen.nn.priors.network import AutoregressiveNetwork, as_map
from vqgen.nn.sizes import check_at_least, check_odd, check_share

SKIP, GAIN = 0.5, 2.0
"""Share of a vertical layer's input that is added to its gate, and standard deviation of what the gate is given over
that of the input. A gate of small x is x / 2: with a lower gain the signal fades with every layer, and with the whole
input added each layer is heard less than the one before, so that what is many rows up is not learnt. The gain is
that of windows 3 wide; wider ones lose more at the borders of a map, and start with more."""


def gate(x: Float[Tensor, "b c2 *map"]) -> Float[Tensor, "b c *map"]:
    """tanh of the first half of the channels times the sigmoid of the second (eq. 2)."""
    signal, opening = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(opening)


class Stacks(NamedTuple):
    """Features of both stacks."""

    vertical: Float[Tensor, "b c h w"]
    horizontal: Float[Tensor, "b c h w"]


class GatedLayer(nn.Module):
    """One layer of both stacks (fig. 2).

    The vertical convolution is given the condition (eq. 4); the horizontal one is given its result, before the gate,
    and with it the condition.
    """

    def __init__(self, channels: int, kernel_size: int, condition_channels: int, dropout: float):
        super().__init__()
        rows = kernel_size // 2 + 1
        self.vertical = VerticalConv2d(channels, 2 * channels, rows, kernel_size, condition_channels)
        self.vertical.reset_parameters(GAIN * max(1.0, kernel_size / 3) ** 0.5)
        self.horizontal = CausalConv2d(channels, 2 * channels, 1, kernel_size, 2 * channels)
        self.output = PointwiseConv2d(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, stacks: Stacks, condition: Float[Tensor, "#b e #h #w"] | None, skip: Float[Tensor, ""]) -> Stacks:
        """Both stacks, the vertical one with `skip` times its input, the horizontal one with its whole input."""
        v, h = stacks
        above = self.vertical(v, condition)
        here = self.horizontal(self.dropout(h), above)  # with the 1x1 convolution of `above`, as its condition
        return Stacks(skip * v + gate(above), h + self.output(gate(here)))


class GatedPixelCNN(AutoregressiveNetwork):
    """Logits of every code given all codes before it in raster order.

    The residual path's share stands among the weights. Those of a run from before it have none, and go on without.

    Args, after those of `AutoregressiveNetwork`:
        hidden_channels: width of each stack.
        num_layers: gated layers after the input layer.
        kernel_size: width of the layers' windows, odd; the input layer's is 7.
        output_channels: width of the 1x1 layer before the logits.
        dropout: share of the horizontal features dropped at the input of each layer; 0 to 0.5.
    """

    skip: Tensor

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
        check_at_least(1, hidden_channels=hidden_channels, num_layers=num_layers, output_channels=output_channels)
        check_odd(kernel_size=kernel_size)
        check_share(dropout=dropout)
        super().__init__(num_embeddings, condition_channels)
        self.register_buffer("skip", torch.tensor(SKIP))
        self.embedding = nn.Embedding(num_embeddings, hidden_channels)
        self.input_vertical = PastVerticalConv2d(hidden_channels, hidden_channels, 4, 7)
        self.input_horizontal = PastConv2d(hidden_channels, hidden_channels, 1, 7, hidden_channels)
        self.layers = nn.ModuleList(
            GatedLayer(hidden_channels, kernel_size, condition_channels, dropout) for _ in range(num_layers)
        )
        self.hidden = PointwiseConv2d(hidden_channels, output_channels)
        self.output = PointwiseConv2d(output_channels, num_embeddings)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *arguments: object) -> None:
        """Take the weights; of those from before the residual path its share is 0."""
        state_dict.setdefault(f"{prefix}skip", torch.zeros_like(self.skip))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only."""
        self.check_condition(condition)
        embedded = as_map(self.embedding(codes))
        v = self.input_vertical(embedded)
        stacks = Stacks(v, self.input_horizontal(embedded, v))
        for layer in self.layers:
            stacks = layer(stacks, condition, self.skip)
        return self.output(F.relu(self.hidden(F.relu(stacks.horizontal))))
