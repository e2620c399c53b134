"""PixelSNAIL (Chen et al. 2017, arXiv 1712.09763), with the conditioning of VQ-VAE-2 (arXiv 1906.00446)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vqgen.nn.priors.attention import CausalAttention
from vqgen.nn.priors.causal import (
    CausalConv2d,
    PastConv2d,
    PastVerticalConv2d,
    PointwiseConv2d,
    RasterConv2d,
    VerticalConv2d,
)
from vqgen.nn.priors.network import AutoregressiveNetwork, as_map
from vqgen.nn.priors.positions import POSITION_CHANNELS, position_features
from vqgen.nn.sizes import check_at_least, check_odd, check_share


def with_positions(
    condition: Float[Tensor, "b e #h #w"] | None, grid: Sequence[int], like: Tensor
) -> Float[Tensor, "_ _ _ _"]:
    """The features of the positions of a map, with the condition beside them: the context of every layer."""
    positions = position_features(grid, like)
    if condition is None:
        return positions
    size = (len(condition), -1, *positions.shape[2:])
    return torch.cat([positions.expand(size), condition.expand(size)], dim=1)


class GatedResidualBlock(nn.Module):
    """Two convolutions of ELUs and a gated linear unit, conditioned in the second, added to the input.

    `conv` makes a convolution from input, output and condition channels; between the two there are `residual_channels`,
    of which `dropout` is dropped.
    """

    def __init__(
        self,
        conv: Callable[..., RasterConv2d],
        channels: int,
        residual_channels: int,
        condition_channels: int,
        dropout: float,
    ):
        super().__init__()
        self.conv = conv(channels, residual_channels)
        self.output = conv(residual_channels, 2 * channels, condition_channels=condition_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "#b e h w"] | None
    ) -> Float[Tensor, "b c h w"]:
        """The input plus the gated convolutions of it and of the condition map."""
        y = F.elu(self.conv(F.elu(x)))
        return x + F.glu(self.output(self.dropout(y), context), dim=1)


class AttentionBlock(nn.Module):
    """Causal attention, gated and added to the input.

    Queries, keys and values come from the features and the code before the position. All of these know earlier
    codes only, so that a position may attend to itself.
    """

    def __init__(self, channels: int, attention_channels: int, num_heads: int, condition_channels: int, dropout: float):
        super().__init__()
        self.input = PointwiseConv2d(2 * channels, 3 * attention_channels, condition_channels)
        self.attention = CausalAttention(attention_channels, num_heads)
        self.output = PointwiseConv2d(attention_channels, 2 * channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b c h w"], context: Float[Tensor, "#b e h w"], previous: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        """The input plus gated attention, from it, the condition map and the embedding of the code before."""
        attended = self.attention(self.input(torch.cat([F.elu(x), previous], dim=1), context))
        return x + F.glu(self.output(self.dropout(attended)), dim=1)


def vertical_stream(
    channels: int, kernel_size: int, num_layers: int, context_channels: int, dropout: float
) -> nn.ModuleList:
    """A convolution of the rows above and residual blocks along the row: they see as far to the right as to the left.

    Causal windows alone, however many, see of the row above only half a window to the right: what is further right
    comes after the position that would have to hand it on. Here whole rows come in once, kernel_size - 1 of them, and
    go sideways from there, as many columns further with each of `num_layers` residual blocks. The first convolution is
    given the condition map, of `context_channels`; inside a block there is half of `channels`, of which `dropout` is
    dropped.
    """
    first = PastVerticalConv2d(channels, channels, kernel_size, kernel_size, context_channels)
    conv = partial(VerticalConv2d, rows=1, columns=kernel_size)
    width = (channels + 1) // 2
    return nn.ModuleList([first, *(GatedResidualBlock(conv, channels, width, 0, dropout) for _ in range(num_layers))])


class PixelSNAIL(AutoregressiveNetwork):
    """Logits of every code given all codes before it in raster order.

    Its causal windows have a blind spot to the right, which attention sees. Without attention a `vertical_stream` does;
    the weights of a run from before it have none, and go on without.

    Args, after those of `AutoregressiveNetwork`:
        hidden_channels: width of the residual stream.
        residual_channels: width inside a residual block.
        kernel_size: of the residual blocks, odd: they see kernel_size - 1 rows above.
        num_layers: residual blocks.
        num_attention_layers: attention blocks, evenly spread between the residual blocks; 0 for a vertical stream in
            their place.
        num_heads: heads of each attention block.
        attention_channels: width of queries, keys and values over all heads.
        num_output_layers: 1x1 residual blocks before the logits.
        dropout: share dropped inside residual blocks and of what attention gives; 0 to 0.5.
        checkpointing: compute the blocks' activations again in the backward pass, to train in less memory.
    """

    def __init__(
        self,
        num_embeddings: int,
        condition_channels: int = 0,
        hidden_channels: int = 128,
        residual_channels: int = 128,
        kernel_size: int = 5,
        num_layers: int = 8,
        num_attention_layers: int = 2,
        num_heads: int = 8,
        attention_channels: int = 128,
        num_output_layers: int = 1,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ):
        check_at_least(1, hidden_channels=hidden_channels, residual_channels=residual_channels, num_layers=num_layers)
        check_at_least(1, num_heads=num_heads, attention_channels=attention_channels)
        check_at_least(0, num_attention_layers=num_attention_layers, num_output_layers=num_output_layers)
        check_odd(kernel_size=kernel_size)
        check_share(dropout=dropout)
        super().__init__(num_embeddings, condition_channels)
        if num_attention_layers and num_layers % num_attention_layers:
            raise ValueError(f"num_layers={num_layers} is no multiple of num_attention_layers={num_attention_layers}.")
        self.checkpointing = checkpointing
        self.embedding = nn.Embedding(num_embeddings, hidden_channels)
        context_channels = POSITION_CHANNELS + condition_channels
        self.input = PastConv2d(hidden_channels, hidden_channels, kernel_size, kernel_size, context_channels)

        self.vertical = nn.ModuleList()
        if num_attention_layers == 0:
            self.vertical = vertical_stream(hidden_channels, kernel_size, num_layers, context_channels, dropout)

        def residual(size: int) -> GatedResidualBlock:
            conv = partial(CausalConv2d, rows=size, columns=size)
            return GatedResidualBlock(conv, hidden_channels, residual_channels, context_channels, dropout)

        def attention() -> AttentionBlock:
            return AttentionBlock(hidden_channels, attention_channels, num_heads, context_channels, dropout)

        self.blocks = nn.ModuleList()
        for i in range(num_layers):
            self.blocks.append(residual(kernel_size))
            if num_attention_layers and (i + 1) % (num_layers // num_attention_layers) == 0:
                self.blocks.append(attention())
        self.output_blocks = nn.ModuleList(residual(1) for _ in range(num_output_layers))
        self.output = PointwiseConv2d(hidden_channels, num_embeddings)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *arguments: object) -> None:
        """Take the weights; those from before the vertical stream do without it."""
        if not any(name.startswith(f"{prefix}vertical.") for name in state_dict):
            self.vertical = nn.ModuleList()
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only."""
        self.check_condition(condition)
        embedded = as_map(self.embedding(codes))
        previous = F.pad(embedded.flatten(2), (1, -1)).view_as(embedded)
        context = with_positions(condition, codes.shape[1:], embedded)
        x = self.input(embedded, context)
        if self.vertical:
            first, *blocks = self.vertical
            above = first(embedded, context)
            for block in blocks:
                above = self._through(block, above, None)
            x = x + above
        for block in [*self.blocks, *self.output_blocks]:
            attends = isinstance(block, AttentionBlock)
            x = self._through(block, x, context, previous) if attends else self._through(block, x, context)
        return self.output(F.elu(x))

    def _through(self, block: nn.Module, *inputs: Tensor | None) -> Float[Tensor, "b c h w"]:
        """The block's result; with `checkpointing`, computed again in the backward pass."""
        if self.checkpointing and self.training:
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)
