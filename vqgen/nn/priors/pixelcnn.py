"""PixelCNN over maps of codes (van den Oord et al. 2016, arXiv 1601.06759): one stack, masked."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.priors.causal import MaskedConv2d, PointwiseConv2d
from vqgen.nn.priors.network import AutoregressiveNetwork
from vqgen.nn.sizes import check_at_least


class OneHotConv2d(MaskedConv2d):
    """Strictly causal convolution (mask A) of one-hot codes; `lookup` is the same from the codes themselves.

    A convolution of one-hot vectors adds up rows of a table, one row for each tap, so `lookup` reads
    ``num_taps`` rows where the convolution multiplies with ``num_taps * num_embeddings`` of them.
    """

    own_position = 0

    @property
    def no_code(self) -> int:
        """The index that stands for no code: beyond all rows of the table but the last, at any tap."""
        return self.num_taps * self.in_channels

    def pad(self, codes: Int[Tensor, "b h w"]) -> Int[Tensor, "b hp wp"]:
        """The map with a border of no codes."""
        reach = self.columns // 2
        return F.pad(codes, (reach, reach, self.rows_above, 0), value=self.no_code)

    def table(self) -> Float[Tensor, "rows o"]:
        """What each code adds from each tap; the last row is that of no code, which adds nothing."""
        table = self.bias.new_zeros(self.no_code + 1, self.out_channels)
        table[:-1] = self.taps.flatten(1).t()  # all taps in one plain transposition: much faster than tap by tap
        return table

    def gather(self, windows: Int[Tensor, "b n"], table: Float[Tensor, "rows o"]) -> Float[Tensor, "b o"]:
        """Sums over the windows' taps, with the bias."""
        first_rows = torch.arange(0, self.no_code, self.in_channels, device=windows.device)
        rows = (windows + first_rows).clamp_(max=self.no_code)
        return F.embedding_bag(rows, table, mode="sum") + self.bias

    def lookup(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b o h w"]:
        """The convolution of ``one_hot(codes)``."""
        windows = self.pad(codes).unfold(1, self.rows_above + 1, 1).unfold(2, self.columns, 1)
        windows = windows.flatten(3)[..., : self.num_taps].flatten(0, 2)
        return self.gather(windows, self.table()).unflatten(0, codes.shape).permute(0, 3, 1, 2)


class MaskedResidualBlock(nn.Module):
    """Residual block of 1x1, masked 3x3 at half width, 1x1, each with a ReLU; conditioned in the first."""

    def __init__(self, channels: int, condition_channels: int):
        super().__init__()
        self.reduce = PointwiseConv2d(channels, channels, condition_channels)
        self.conv = MaskedConv2d(channels, channels // 2, kernel_size=3)
        self.expand = PointwiseConv2d(channels // 2, channels)

    def forward(
        self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "#b e #h #w"] | None
    ) -> Float[Tensor, "b c h w"]:
        """The sum of the input and the convolutions' result."""
        y = F.relu(self.reduce(x, condition))
        y = F.relu(self.conv(y))
        return x + F.relu(self.expand(y))


class PixelCNN(AutoregressiveNetwork):
    """Logits of every code given the codes before it in raster order.

    A 7x7 mask-A convolution of the one-hot codes, residual blocks, ``num_output_layers`` 1x1 convolutions and
    a 1x1 to the codebook. Its masked window has a blind spot to the right (`GatedPixelCNN` has not).

    Args, after those of `AutoregressiveNetwork`:
        hidden_channels: width, even. The defaults give 1,049,728 parameters at K = 128.
        num_residual_blocks: depth of the masked stack.
        num_output_layers: 1x1 layers before the logits.
    """

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        hidden_channels: int = 128,
        num_residual_blocks: int = 2,
        num_output_layers: int = 2,
    ):
        check_at_least(2, hidden_channels=hidden_channels)
        check_at_least(0, num_residual_blocks=num_residual_blocks, num_output_layers=num_output_layers)
        super().__init__(num_embeddings, condition_channels)
        self.input = OneHotConv2d(num_embeddings, hidden_channels, kernel_size=7)
        self.blocks = nn.ModuleList(
            MaskedResidualBlock(hidden_channels, condition_channels) for _ in range(num_residual_blocks)
        )
        widths = [hidden_channels] * (num_output_layers + 1) + [num_embeddings]
        self.output = nn.ModuleList(PointwiseConv2d(i, o) for i, o in pairwise(widths))

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only."""
        self.check_condition(condition)
        x = F.relu(self.input.lookup(codes))
        for block in self.blocks:
            x = block(x, condition)
        for layer in self.output[:-1]:
            x = F.relu(layer(x))
        return self.output[-1](x)
