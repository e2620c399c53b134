"""Gated PixelCNN, one position after another."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.drawing.incremental import Incremental, twin_of
from vqgen.drawing.stepwise.conv_stack import SmallConvStack
from vqgen.drawing.stepwise.positions import Positions, RunLayer
from vqgen.drawing.stepwise.rows import RowState, row_of
from vqgen.nn.priors.causal import CausalConv2d, PastVerticalConv2d, PointwiseConv2d, VerticalConv2d
from vqgen.nn.priors.gated_pixelcnn import GatedLayer, GatedPixelCNN, gate


@twin_of(GatedPixelCNN)
class StepwiseGatedPixelCNN(Incremental):
    """A gated PixelCNN in the course of a map: the vertical stack goes by rows, the horizontal by positions."""

    def __init__(
        self, network: GatedPixelCNN, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ):
        super().__init__(grid)
        network.check_condition(condition)
        self.network, self.condition = network, condition
        self.layers = [layer for layer in network.layers if isinstance(layer, GatedLayer)]
        vertical = [m for m in network.modules() if isinstance(m, PastVerticalConv2d | VerticalConv2d)]
        horizontal = [m for m in network.layers.modules() if isinstance(m, CausalConv2d | PointwiseConv2d)]
        self.rows = {layer: RowState(layer, num_samples, grid) for layer in vertical}
        self.run = Positions([*horizontal, network.hidden, network.output], num_samples, grid)
        self.input = SmallConvStack([network.input_horizontal], num_samples, grid)
        self.embedded = network.embedding.weight.new_zeros(num_samples, grid[1], network.embedding.embedding_dim)

    def begin_row(self) -> None:
        """Move the vertical stack down by one row: from now on it knows the row just finished."""
        condition = row_of(self.condition, self.row)
        v = self.rows[self.network.input_vertical](self.embedded.transpose(1, 2).unsqueeze(2))
        self.input.begin_row([v])
        above: dict[nn.Module, Tensor] = {}
        for layer in self.layers:
            above[layer.horizontal] = self.rows[layer.vertical](v, condition)
            v = self.network.skip * v + gate(above[layer.horizontal])
        self.run.begin_row(above)

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        self.input.begin(self.position)
        return self.run(self.horizontal, self.position, self.input.read())

    def horizontal(self, run: RunLayer, h: Float[Tensor, "b c"]) -> Float[Tensor, "b k"]:
        """The horizontal stack, from its input layer's features to the logits."""
        for layer in self.layers:
            h = h + run(layer.output, gate(run(layer.horizontal, h)))
        return run(self.network.output, F.relu(run(self.network.hidden, F.relu(h))))

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        embedded = self.network.embedding(codes)
        self.embedded[:, self.column] = embedded
        self.input.write(embedded)
