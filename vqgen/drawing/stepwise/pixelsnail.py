"""PixelSNAIL, one position after another."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.drawing.incremental import Incremental, twin_of
from vqgen.drawing.stepwise.conv_stack import SmallConvStack
from vqgen.drawing.stepwise.positions import Positions, RunLayer
from vqgen.drawing.stepwise.rows import RowState
from vqgen.nn.priors.causal import RasterConv2d
from vqgen.nn.priors.pixelsnail import AttentionBlock, GatedResidualBlock, PixelSNAIL, with_positions


@twin_of(PixelSNAIL)
class StepwisePixelSNAIL(Incremental):
    """A PixelSNAIL in the course of a map; a vertical stream goes by rows."""

    def __init__(
        self, network: PixelSNAIL, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ):
        super().__init__(grid)
        network.check_condition(condition)
        self.network, self.condition = network, condition
        layers = [*network.blocks.modules(), *network.output_blocks.modules(), network.output]
        self.run = Positions(layers, num_samples, grid)
        self.conditioned = [m for m in layers if isinstance(m, RasterConv2d) and m.project is not None]
        self.input = SmallConvStack([network.input], num_samples, grid)
        vertical = [m for m in network.vertical.modules() if isinstance(m, RasterConv2d)]
        self.rows = {layer: RowState(layer, num_samples, grid) for layer in vertical}
        weight = network.embedding.weight
        self.context = with_positions(condition, grid, weight)
        self.above: Sequence[Tensor] = ()
        self.embedded = weight.new_zeros(num_samples, grid[1], weight.shape[1])
        self.previous = self.embedded[:, 0]

    def begin_row(self) -> None:
        """Fold the rows above in every layer, and move the vertical stream down by one row."""
        context = self.context[:, :, self.row : self.row + 1]
        self.run.begin_row(dict.fromkeys(self.conditioned, context))
        self.input.begin_row([context])
        if self.network.vertical:
            self.above = self.vertical(context).squeeze(2).unbind(2)

    def vertical(self, context: Float[Tensor, "_ e 1 w"]) -> Float[Tensor, "b c 1 w"]:
        """The vertical stream in the current row."""
        first, *blocks = self.network.vertical
        assert isinstance(first, RasterConv2d)
        x = self.rows[first](self.embedded.transpose(1, 2).unsqueeze(2), context)
        for block in blocks:
            assert isinstance(block, GatedResidualBlock)
            x = x + F.glu(self.rows[block.output](F.elu(self.rows[block.conv](F.elu(x)))), dim=1)
        return x

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        self.input.begin(self.position)
        x = self.input.read()
        x = x + self.above[self.column] if self.network.vertical else x
        return self.run(self.body, self.position, x, self.previous)

    def body(self, run: RunLayer, x: Float[Tensor, "b c"], previous: Float[Tensor, "b c"]) -> Float[Tensor, "b k"]:
        """Logits from the input layer's features and the embedding of the code before."""
        for block in [*self.network.blocks, *self.network.output_blocks]:
            if isinstance(block, AttentionBlock):
                y = run(block.attention, run(block.input, torch.cat([F.elu(x), previous], dim=1)))
            else:
                assert isinstance(block, GatedResidualBlock)
                y = F.elu(run(block.conv, F.elu(x)))
            x = x + F.glu(run(block.output, y), dim=1)
        return run(self.network.output, F.elu(x))

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        self.previous = self.embedded[:, self.column] = self.network.embedding(codes)
        self.input.write(self.previous)
