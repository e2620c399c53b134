"""Causal convolutions of one geometry, evaluated one position after another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.drawing.stepwise.product import LARGE_FOR_LAYERS, RowConvolutions, product, products
from vqgen.drawing.stepwise.rows import push_row
from vqgen.drawing.stepwise.stack import Position, Stack
from vqgen.nn.priors.causal import RasterConv2d


def own_matrix(layer: RasterConv2d) -> Float[Tensor, "o n_i"]:
    """The weights of the own row's taps, as the matrix that multiplies its inputs."""
    assert layer.own is not None
    return layer.own[:, : layer.own_taps].flatten(1)


class ConvStack(Stack):
    """Line buffers of causal convolutions: the rows above, the own row so far, and the folded row.

    `layers` are of one geometry, and see their own row up to a position.
    """

    def __init__(self, layers: Sequence[RasterConv2d], num_samples: int, grid: Sequence[int]):
        first, width, count = layers[0], grid[1], len(layers)
        self.size, self.reach, self.width = first.in_channels, first.columns // 2, width
        self.keeps_line = self.reach > 0 or first.rows_above > 0
        taps = [layer.taps[:, :0] if layer.above is None else layer.above for layer in layers]
        self.fold = RowConvolutions(taps, [layer.bias for layer in layers], first.columns, num_samples * width)
        self.project = None
        if first.project is not None:
            weights = [layer.project.weight for layer in layers if layer.project is not None]
            self.project = torch.stack(weights).transpose(1, 2)
        zeros, padded = first.bias.new_zeros, width + 2 * self.reach
        self.folded = zeros(count, num_samples, width, first.out_channels)
        self.known = self.folded.unbind(2)
        self.above = zeros(count, num_samples, first.rows_above, padded, self.size)
        self.line = zeros(count, num_samples, padded, self.size)
        self.cells = self.line[:, :, self.reach : self.reach + width].unbind(2)
        self.rows_seen = -1
        self.inputs, self.sums = [*self.line[:, :, 0]], self.line[:, :, 0].unbind(0)  # of a position, layer by layer

    def begin_row(self, contexts: Sequence[Float[Tensor, "_ e 1 _"] | None]) -> None:
        """Move the finished row up, and fold the rows above and the condition."""
        self.rows_seen += 1
        if self.rows_seen:
            push_row(self.above, self.line)
        outside = max(0, self.above.shape[2] - self.rows_seen)
        self.fold(self.above[:, :, outside:], self.folded)
        maps = [context for context in contexts if context is not None]
        if self.project is not None and maps:
            rows = torch.stack(maps).squeeze(3).transpose(2, 3)
            self.folded += torch.bmm(rows.flatten(1, 2), self.project).unflatten(1, rows.shape[1:3])

    def windows(self, taps: int) -> list[Float[Tensor, "n b m"]]:
        """For each column, the inputs at the first taps of its window."""
        flat, size = self.line.flatten(2), self.size
        return [flat[:, :, x * size : (x + taps) * size] for x in range(self.width)]


class LargeConvStack(ConvStack):
    """Large layers, bound by reading their weights: each takes all taps of its row in one product."""

    def __init__(self, layers: Sequence[RasterConv2d], num_samples: int, grid: Sequence[int]):
        super().__init__(layers, num_samples, grid)
        self.add = [product(own_matrix(layer), num_samples) for layer in layers]
        views = zip(self.cells, self.windows(layers[0].own_taps), strict=True)
        self.views = [[*zip(cell.unbind(0), window.unbind(0), strict=True)] for cell, window in views]
        self.here = self.views[0]

    def begin(self, position: Position) -> None:
        """Go on to the column's buffers."""
        column = int(position) % self.width
        self.here, self.sums = self.views[column], self.known[column].clone().unbind(0)

    def step(self, k: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Keep the input of layer `k` and give its result."""
        cell, window = self.here[k]
        cell.copy_(x)
        return self.add[k](self.sums[k], window)


class SmallConvStack(ConvStack):
    """Small layers, bound by calling operations: what lies left of a position is folded for all of them at once."""

    def __init__(self, layers: Sequence[RasterConv2d], num_samples: int, grid: Sequence[int]):
        super().__init__(layers, num_samples, grid)
        seen, own = self.reach * self.size, [own_matrix(layer) for layer in layers]
        self.plus_left = products([m[:, :seen] for m in own], num_samples) if seen else None
        self.add = [product(m[:, seen:].contiguous(), num_samples) for m in own]
        self.views, self.column = self.windows(self.reach), 0

    def begin(self, position: Position) -> None:
        """Fold the columns left."""
        self.column = int(position) % self.width
        known = self.known[self.column]
        sums = known.clone() if self.plus_left is None else self.plus_left(known, self.views[self.column])
        self.sums = sums.unbind(0)

    def step(self, k: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Take the input of layer `k` and give its result."""
        self.inputs[k] = x
        return self.add[k](self.sums[k], x)

    def end(self) -> None:
        """Write the inputs taken into the line."""
        if self.keeps_line:
            self.cells[self.column].copy_(torch.stack(self.inputs))

    def read(self) -> Float[Tensor, "b o"]:
        """The result of the only layer, which does not see its own position."""
        return self.sums[0]

    def write(self, x: Float[Tensor, "b i"]) -> None:
        """Keep the input of the only layer."""
        self.cells[self.column][0].copy_(x)


class TensorConvStack(ConvStack):
    """Layers whose position is a tensor, for a GPU: which operations they run is the same at every position."""

    def __init__(self, layers: Sequence[RasterConv2d], num_samples: int, grid: Sequence[int]):
        super().__init__(layers, num_samples, grid)
        own = torch.stack([own_matrix(layer) for layer in layers]).transpose(1, 2)
        self.left, here = own.split([self.reach * self.size, self.size], dim=1)
        self.here = here.unbind(0)
        self.window = torch.arange(self.reach, device=own.device)
        self.column = torch.zeros(1, dtype=torch.long, device=own.device)

    def begin(self, position: Position) -> None:
        """Fold the columns left."""
        assert isinstance(position, Tensor)
        self.column = position % self.width
        sums = self.folded.index_select(2, self.column).squeeze(2)
        if self.reach:
            seen = self.line.index_select(2, self.column + self.window).flatten(2)
            sums.baddbmm_(seen, self.left)
        self.sums = sums.unbind(0)

    def step(self, k: int, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Take the input of layer `k` and give its result."""
        self.inputs[k] = x
        return self.sums[k].addmm_(x, self.here[k])

    def end(self) -> None:
        """Write the inputs taken into the line."""
        if self.keeps_line:
            self.line.index_copy_(2, self.column + self.reach, torch.stack(self.inputs).unsqueeze(2))


def conv_stack(layers: Sequence[RasterConv2d], num_samples: int, grid: Sequence[int], by_tensor: bool) -> ConvStack:
    """The stack for layers of this size, and for positions that are numbers or tensors."""
    if by_tensor:
        return TensorConvStack(layers, num_samples, grid)
    large = own_matrix(layers[0]).numel() >= LARGE_FOR_LAYERS
    return (LargeConvStack if large else SmallConvStack)(layers, num_samples, grid)
