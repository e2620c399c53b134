"""PixelCNN, one position after another."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.drawing.incremental import Incremental, twin_of
from vqgen.drawing.stepwise.positions import Positions, RunLayer
from vqgen.drawing.stepwise.rows import row_of
from vqgen.nn.priors.pixelcnn import MaskedResidualBlock, PixelCNN


@twin_of(PixelCNN)
class StepwisePixelCNN(Incremental):
    """A PixelCNN in the course of a map; its input layer is a look-up in the codes so far."""

    def __init__(
        self, network: PixelCNN, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ):
        super().__init__(grid)
        network.check_condition(condition)
        self.network, self.condition = network, condition
        self.blocks = [block for block in network.blocks if isinstance(block, MaskedResidualBlock)]
        self.run = Positions([*network.blocks.modules(), *network.output], num_samples, grid)
        self.table = network.input.table()
        empty = torch.full((num_samples, *grid), network.input.no_code, device=self.table.device)
        self.codes = network.input.pad(empty)

    def begin_row(self) -> None:
        """Fold the rows above in every layer."""
        condition = row_of(self.condition, self.row)
        self.run.begin_row({} if condition is None else {block.reduce: condition for block in self.blocks})

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        layer = self.network.input
        window = self.codes[:, self.row : self.row + layer.rows_above + 1, self.column : self.column + layer.columns]
        features = layer.gather(window.flatten(1)[:, : layer.num_taps], self.table)
        return self.run(self.body, self.position, features)

    def body(self, run: RunLayer, features: Float[Tensor, "b c"]) -> Float[Tensor, "b k"]:
        """Logits from the features of the input layer."""
        x = F.relu(features)
        for block in self.blocks:
            y = F.relu(run(block.conv, F.relu(run(block.reduce, x))))
            x = x + F.relu(run(block.expand, y))
        *layers, last = self.network.output
        for layer in layers:
            x = F.relu(run(layer, x))
        return run(last, x)

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        layer = self.network.input
        self.codes[:, self.row + layer.rows_above, self.column + layer.columns // 2] = codes
