"""The vertical stack of a network, evaluated one row after another."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vqgen.drawing.stepwise.product import RowConvolution
from vqgen.nn.priors.causal import RasterConv2d


class RowState:
    """A convolution of a vertical stack, and the last rows that it has seen."""

    def __init__(self, layer: RasterConv2d, num_samples: int, grid: Sequence[int]):
        self.layer, self.reach = layer, layer.columns // 2
        shape = (num_samples, layer.num_taps // layer.columns, grid[1] + 2 * self.reach, layer.in_channels)
        self.seen = layer.bias.new_zeros(shape)
        self.convolve = RowConvolution(layer.taps, layer.bias, layer.columns, num_samples * grid[1])

    def __call__(
        self, row: Float[Tensor, "b i 1 w"], condition: Float[Tensor, "_ e 1 _"] | None = None
    ) -> Float[Tensor, "b o 1 w"]:
        """The result in the current row, from this row of the input and of the condition, and the rows before."""
        push_row(self.seen, F.pad(row.squeeze(2).transpose(1, 2), (0, 0, self.reach, self.reach)))
        result = self.convolve(self.seen)
        if condition is not None and self.layer.project is not None:
            result = result + self.layer.project(condition.squeeze(2).transpose(1, 2))
        return result.transpose(1, 2).unsqueeze(2)


def push_row(rows: Float[Tensor, "*n r w i"], line: Float[Tensor, "*n w i"]) -> None:
    """Move the rows up by one and enter the line as the last."""
    places = rows.unbind(-3)
    for place, below in zip(places, [*places[1:], line], strict=False):
        place.copy_(below)


def row_of(condition: Float[Tensor, "b e h w"] | None, row: int) -> Float[Tensor, "b e 1 w"] | None:
    """One row of a condition map, or all of a 1x1 map."""
    if condition is None or condition.shape[2] == 1:
        return condition
    return condition[:, :, row : row + 1]
