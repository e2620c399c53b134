"""Convolutions that see only what comes earlier in raster order.

Every layer here is one geometry: some whole rows above the position, ``columns`` wide, and the first taps of the
position's own row, as one window centred in its columns. Causality is how long the own row's list of taps is:
there is no mask to forget, and taps that must not be seen are neither stored nor trained (except by
`MaskedConv2d`, which keeps the published parameter counts).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class RasterConv2d(nn.Module):
    """Convolution over rows above and the first taps of the own row, with a bias everywhere.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv2d`.
        rows_above: how many rows above are seen.
        columns: width of the window, odd; the position stands in the middle.
        own_taps: how many taps of the window's own row are seen, from the left.
        condition_channels: channels of the condition map, whose 1x1 projection is added; 0 for none.
    """

    unseen_taps = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rows_above: int,
        columns: int,
        own_taps: int,
        condition_channels: int = 0,
    ):
        super().__init__()
        if columns % 2 == 0:
            raise ValueError(f"columns={columns} has no middle: give an odd number.")
        self.num_taps = rows_above * columns + own_taps
        if self.num_taps < 1:
            raise ValueError(f"a window of {columns} columns that sees none of its taps: give more rows or columns.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.rows_above, self.columns, self.own_taps = rows_above, columns, own_taps
        self.above = self._weight(rows_above * columns)
        self.own = self._weight(own_taps + self.unseen_taps)
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.project = nn.Linear(condition_channels, out_channels, bias=False) if condition_channels else None
        self.reset_parameters()

    def _weight(self, taps: int) -> nn.Parameter | None:
        """Weights ``o n i`` of some taps: the order of a convolution whose channels come last."""
        return nn.Parameter(torch.empty(self.out_channels, taps, self.in_channels)) if taps else None

    def reset_parameters(self, gain: float = 3**-0.5) -> None:
        """Draw weights and bias anew, uniformly.

        `gain` is the standard deviation of the result over that of the input, without the bias: the weights' variance
        is gain^2 / fan-in, the fan-in counted over the taps that are seen. The bias is at most fan-in^(-1/2).
        """
        bound = 1 / math.sqrt(self.num_taps * self.in_channels)
        for parameter, scale in ((self.above, gain * 3**0.5), (self.own, gain * 3**0.5), (self.bias, 1.0)):
            if parameter is not None:
                nn.init.uniform_(parameter, -scale * bound, scale * bound)

    @property
    def taps(self) -> Float[Tensor, "o n i"]:
        """The weights of the taps that are seen, in raster order."""
        own = None if self.own is None else self.own[:, : self.own_taps]
        return torch.cat([part for part in (self.above, own) if part is not None], dim=1)

    def forward(
        self, x: Float[Tensor, "b i h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b o h w"]:
        """All positions at once."""
        reach, unseen = self.columns // 2, -self.num_taps % self.columns
        if self.rows_above == 0:  # a convolution just as wide as its taps
            kernel = self.taps.unsqueeze(1)
            x = F.pad(x, (reach, self.own_taps - 1 - reach))
        else:
            kernel = F.pad(self.taps, (0, 0, 0, unseen)).unflatten(1, (-1, self.columns))
            x = F.pad(x, (reach, reach, self.rows_above, 0 if self.own_taps else -1))
        y = F.conv2d(x, kernel.permute(0, 3, 1, 2), self.bias)
        if self.project is None or condition is None:
            return y
        return y + F.conv2d(condition, self.project.weight[:, :, None, None])

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        seen = f"{self.rows_above}x{self.columns} + {self.own_taps} taps"
        return f"{self.in_channels}, {self.out_channels}, {seen}"


class CausalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above, and its own row up to and with its own position (mask B)."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, rows - 1, columns, columns // 2 + 1, condition_channels)


class PastConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above, and its own row up to but without its own position (mask A)."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, rows - 1, columns, columns // 2, condition_channels)


class VerticalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above and the whole of its own row: the vertical stack's inner layers."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, rows - 1, columns, columns, condition_channels)


class PastVerticalConv2d(RasterConv2d):
    """Sees the ``rows - 1`` rows above and nothing of its own row: the vertical stack's first layer."""

    def __init__(self, in_channels: int, out_channels: int, rows: int, columns: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, rows - 1, columns, 0, condition_channels)


class PointwiseConv2d(RasterConv2d):
    """1x1 convolution: sees its own position."""

    def __init__(self, in_channels: int, out_channels: int, condition_channels: int = 0):
        super().__init__(in_channels, out_channels, 0, 1, 1, condition_channels)


class MaskedConv2d(RasterConv2d):
    """Causal convolution that stores a whole square kernel, as published models count it (mask B).

    The taps behind the mask are parameters that nothing reads.
    """

    own_position = 1

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        reach = kernel_size // 2
        self.unseen_taps = kernel_size * (kernel_size - reach) - reach - self.own_position
        super().__init__(in_channels, out_channels, reach, kernel_size, reach + self.own_position)
