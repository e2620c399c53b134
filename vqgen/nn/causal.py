"""Convolutions that see only what comes earlier in raster order.

Every layer here is one geometry: a window of ``rows`` x ``columns`` taps, centred in its columns, whose
bottom row is the position's own row, and of which only the first ``num_taps`` in raster order exist.
Causality is the length of that list: there is no mask to forget, and taps that must not be seen are neither
stored nor trained (except by `MaskedConv2d`, which keeps the published parameter counts).

Each layer evaluates a whole map (`forward`) or, through the state that `start` gives, one position after another.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.incremental import ConvState, LayerState, PointwiseState, Stepwise


class RasterConv2d(Stepwise):
    """Convolution over the first ``num_taps`` taps of a ``rows`` x ``columns`` window, bias everywhere.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        rows: height of the window: the position's own row and ``rows - 1`` rows above it.
        columns: width of the window, odd; the position stands in the middle.
        num_taps: how many taps of the window, in raster order, are seen; at least 1.
        condition_channels: channels of the condition map, whose 1x1 projection is added; 0 for none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rows: int,
        columns: int,
        num_taps: int,
        condition_channels: int = 0,
    ):
        super().__init__()
        if columns % 2 == 0:
            raise ValueError(f"columns={columns} has no middle: give an odd number.")
        if not 0 < num_taps <= rows * columns:
            raise ValueError(f"num_taps={num_taps} must lie in 1..{rows * columns}, the taps of the window.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.rows, self.columns, self.num_taps = rows, columns, num_taps
        self.weight = nn.Parameter(torch.empty(out_channels, self.stored_taps, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.project = nn.Conv2d(condition_channels, out_channels, 1, bias=False) if condition_channels else None
        self.reset_parameters()

    @property
    def stored_taps(self) -> int:
        """Taps held as parameters: those that are seen, and no others."""
        return self.num_taps

    def reset_parameters(self) -> None:
        """Uniform with the variance of 1 / (3 fan-in), the fan-in counted over the taps that are seen."""
        bound = 1 / math.sqrt(self.num_taps * self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @property
    def taps(self) -> Float[Tensor, "o n i"]:
        """The weights of the taps that are seen, in raster order."""
        return self.weight[:, : self.num_taps]

    @property
    def own_taps(self) -> Float[Tensor, "n_i o"]:
        """The weights of the taps in the position's own row, as the matrix that multiplies its inputs."""
        return self.taps[:, (self.rows - 1) * self.columns :].flatten(1).t().contiguous()

    def forward(
        self, x: Float[Tensor, "b i h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b o h w"]:
        """All positions at once."""
        reach = self.columns // 2
        if self.num_taps <= self.columns:  # one row of the window: a convolution exactly as wide as the taps
            top, kernel = self.rows - 1, self.taps.unflatten(1, (1, self.num_taps))
            x = F.pad(x, (reach, self.num_taps - 1 - reach, top, -top))
        else:
            used_rows = math.ceil(self.num_taps / self.columns)
            unseen = used_rows * self.columns - self.num_taps
            kernel = F.pad(self.taps, (0, 0, 0, unseen)).unflatten(1, (used_rows, self.columns))
            x = F.pad(x, (reach, reach, self.rows - 1, used_rows - self.rows))
        return self._conditioned(F.conv2d(x, kernel.permute(0, 3, 1, 2), self.bias), condition)

    def fold(
        self, above: Float[Tensor, "b r v i"], condition: Float[Tensor, "_ e 1 _"] | None
    ) -> Float[Tensor, "_ _ o"]:
        """What the rows above, the bias and the condition add to a whole row.

        Args:
            above: the last ``r`` rows the window sees in full, padded by ``columns // 2`` on either side; rows
                further up are outside the map.
            condition: the row of the condition map.
        """
        if above.shape[1] == 0:
            row = self.bias.view(1, -1, 1, 1)
        else:
            last = max(self.rows - 1, above.shape[1])
            seen = self.taps[:, (last - above.shape[1]) * self.columns : last * self.columns]
            kernel = seen.unflatten(1, (above.shape[1], self.columns)).permute(0, 3, 1, 2)
            row = F.conv2d(above.permute(0, 3, 1, 2), kernel, self.bias)
        return self._conditioned(row, condition).squeeze(2).transpose(1, 2)

    def _conditioned(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Add the projection of the condition."""
        return x if self.project is None else x + self.project(condition)

    def start(self, num_samples: int, grid: Sequence[int]) -> LayerState:
        """The state from which `forward` is evaluated position by position."""
        if self.rows == self.columns == 1:
            return PointwiseState(self, grid[1])
        return ConvState(self, num_samples, grid)

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"{self.in_channels}, {self.out_channels}, {self.num_taps} of {self.rows}x{self.columns}"


class CausalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above, and its own row up to and with its own position (mask B)."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        num_taps = (rows - 1) * columns + columns // 2 + 1
        super().__init__(in_channels, out_channels, rows, columns, num_taps, condition_channels)


class PastConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above, and its own row up to but without its own position (mask A)."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        num_taps = (rows - 1) * columns + columns // 2
        super().__init__(in_channels, out_channels, rows, columns, num_taps, condition_channels)

    def start(self, num_samples: int, grid: Sequence[int]) -> ConvState:
        """A state that is read before the position's own input is written."""
        return ConvState(self, num_samples, grid)


class VerticalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above and the whole of its own row: the vertical stack's inner layers."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, rows, columns, rows * columns, condition_channels)


class PastVerticalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above and nothing of its own row: the vertical stack's first layer."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, rows, columns, (rows - 1) * columns, condition_channels)


class Pointwise(RasterConv2d):
    """1x1 convolution: sees its own position."""

    def __init__(self, in_channels: int, out_channels: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, 1, 1, 1, condition_channels)


class MaskedConv2d(RasterConv2d):
    """Causal convolution that stores a whole square kernel, as published models count it (mask B).

    The taps behind the mask are parameters that nothing reads.
    """

    own_position = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        self.kernel_size = kernel_size
        num_taps = kernel_size * kernel_size // 2 + self.own_position
        super().__init__(in_channels, out_channels, kernel_size // 2 + 1, kernel_size, num_taps)

    @property
    def stored_taps(self) -> int:
        """The whole square."""
        return self.kernel_size * self.kernel_size
