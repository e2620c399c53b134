"""Gated PixelCNN (van den Oord et al. 2016, arXiv 1606.05328): two gated stacks, no blind spot.

Beyond the paper, the vertical stack has a residual path too and starts at a scale that lasts: without them a gate
passes on a quarter of its signal, and after ten layers nothing of the code is left.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.priors.autoregressive import AutoregressiveNetwork
from vqgen.nn.priors.causal import CausalConv2d, PastConv2d, PastVerticalConv2d, Pointwise, VerticalConv2d
from vqgen.nn.sizes import check_at_least, check_odd, check_share
from vqgen.nn.stepwise.conv_stack import SmallConvStack
from vqgen.nn.stepwise.incremental import Contexts, Incremental, Parallel, Positions, Rows, Run, row_of

SKIP, GAIN = 0.5, 2.0
"""Share of a vertical layer's input that is added to its gate, and standard deviation of what the gate is given over
that of the input. A gate of small x is x / 2: with a lower gain the signal fades with every layer, and with the whole
input added each layer is heard less than the one before, so that what is many rows up is not learnt. The gain is
that of windows 3 wide; wider ones lose more at the borders of a map, and start with more."""


def gate(x: Float[Tensor, "b c2 *map"]) -> Float[Tensor, "b c *map"]:
    """tanh of the first half of the channels times the sigmoid of the second (eq. 2)."""
    signal, opening = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(opening)


class GatedLayer(nn.Module):
    """The convolutions of one layer of both stacks (fig. 2).

    The horizontal convolution is conditioned on the vertical one's result, before its gate; with it comes the
    condition (eq. 4), which is added there.
    """

    def __init__(self, channels: int, kernel_size: int, condition_channels: int, dropout: float):
        super().__init__()
        rows = kernel_size // 2 + 1
        self.vertical = VerticalConv2d(channels, 2 * channels, rows, kernel_size, condition_channels)
        self.vertical.reset_parameters(GAIN * max(1.0, kernel_size / 3) ** 0.5)
        self.horizontal = CausalConv2d(channels, 2 * channels, 1, kernel_size, 2 * channels)
        self.output = Pointwise(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, run: Run, x: Float[Tensor, "b c *map"]) -> Float[Tensor, "b c *map"]:
        """The horizontal stack, residual, where `run` computes."""
        return x + run(self.output, gate(run(self.horizontal, self.dropout(x))))


class GatedPixelCNN(AutoregressiveNetwork):
    """Logits of every code given all codes before it in raster order.

    The residual path's share stands among the weights. Those of a run from before it have none, and go on without.

    Args:
        num_embeddings: size K of the codebook.
        condition_channels: channels of the condition map; 0 for a prior without condition.
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
        self.hidden = Pointwise(hidden_channels, output_channels)
        self.output = Pointwise(output_channels, num_embeddings)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Take the weights; of those from before the residual path its share is 0."""
        state_dict.setdefault(f"{prefix}skip", torch.zeros_like(self.skip))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        """The code vectors of the prior's own embedding, for `logits`."""
        return self.embedding(codes).permute(0, 3, 1, 2)

    def logits(
        self, embedded: Float[Tensor, "b c h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """What `forward` computes, from embedded codes."""
        self.check_condition(condition)
        run = Parallel(self.vertical(Parallel(self.contexts(condition)), embedded))
        return self.horizontal(run, run(self.input_horizontal, embedded))

    def vertical(self, run: Run, embedded: Float[Tensor, "b c h w"]) -> Contexts:
        """The vertical stack: what it gives to each layer of the horizontal one."""
        x = run(self.input_vertical, embedded)
        given: dict[Any, Tensor] = {self.input_horizontal: x}
        for layer in self.layers:
            given[layer.horizontal] = run(layer.vertical, x)
            x = self.skip * x + gate(given[layer.horizontal])
        return given

    def horizontal(self, run: Run, x: Float[Tensor, "b c *map"]) -> Float[Tensor, "b k *map"]:
        """The horizontal stack, from its input layer's features to the logits."""
        for layer in self.layers:
            x = layer(run, x)
        return run(self.output, F.relu(run(self.hidden, F.relu(x))))

    def contexts(self, condition: Float[Tensor, "_ e _ _"] | None) -> Contexts:
        """Which layer of the vertical stack takes which condition."""
        return {} if condition is None else {layer.vertical: condition for layer in self.layers}

    def start(
        self, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None = None
    ) -> "GatedPixelCNNState":
        """The state before the first position."""
        self.check_condition(condition)
        return GatedPixelCNNState(self, num_samples, grid, condition)


class GatedPixelCNNState(Incremental):
    """A gated PixelCNN in the course of a map: the vertical stack goes by rows, the horizontal by positions."""

    def __init__(
        self,
        network: GatedPixelCNN,
        num_samples: int,
        grid: Sequence[int],
        condition: Float[Tensor, "_ e _ _"] | None,
    ):
        super().__init__(grid)
        self.network, self.condition = network, condition
        vertical = [m for m in network.modules() if isinstance(m, (PastVerticalConv2d, VerticalConv2d))]
        horizontal = [m for m in network.layers.modules() if isinstance(m, (CausalConv2d, Pointwise))]
        self.rows = Rows(vertical, num_samples, grid)
        self.run = Positions([*horizontal, network.hidden, network.output], num_samples, grid)
        self.input = SmallConvStack([network.input_horizontal], num_samples, grid)
        self.embedded = network.embedding.weight.new_zeros(num_samples, grid[1], network.embedding.embedding_dim)

    def begin_row(self) -> None:
        """Move the vertical stack down by one row: from now on it knows the row just finished."""
        self.rows.contexts = self.network.contexts(row_of(self.condition, self.row))
        given = self.network.vertical(self.rows, self.embedded.transpose(1, 2).unsqueeze(2))
        self.run.begin_row(given)
        self.input.begin_row([given[self.network.input_horizontal]])

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        self.input.begin(self.position)
        return self.run(self.network.horizontal, self.position, self.input.read())

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        embedded = self.network.embedding(codes)
        self.embedded[:, self.column] = embedded
        self.input.write(embedded)
