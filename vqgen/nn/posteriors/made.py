"""MADE: a dense network made autoregressive by masks (arXiv 1502.03509), with a context it may see whole."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.sizes import check_widths


class MaskedLinear(nn.Module):
    """A dense layer without the connections that a mask leaves out, plus one from a context, whole.

    `mask` says which input (column) each output (row) may see.
    """

    mask: Tensor

    def __init__(self, mask: Bool[Tensor, "o i"], context_dim: int):
        super().__init__()
        self.linear = nn.Linear(mask.shape[1], mask.shape[0], bias=False)
        self.context = nn.Linear(context_dim, mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Float[Tensor, "b i"], context: Float[Tensor, "b f"]) -> Float[Tensor, "b o"]:
        """Masked at every use, so that no optimiser step can fill a connection that must not be."""
        return F.linear(x, self.linear.weight * self.mask) + self.context(context)


class MADE(nn.Module):
    """Outputs of which those at position i depend on the inputs before i and on the context only.

    Hidden units of degree m see inputs 1 to m, and are seen by outputs above m (equations 8 to 10). Degrees run from
    0, of units that carry the context alone, to dim - 1, evenly, so that every permitted path exists.

    Args:
        dim: length of the input vector.
        num_outputs: numbers given for each position.
        hidden_channels: width of each hidden layer; at least `dim` lets every position see all before it.
        context_dim: numbers in a context vector.
    """

    def __init__(self, dim: int, num_outputs: int, hidden_channels: Sequence[int], context_dim: int):
        check_widths(hidden_channels)
        super().__init__()
        self.num_outputs = num_outputs
        degrees = [torch.arange(dim) + 1, *(_spread(dim, width) for width in hidden_channels)]
        self.hidden = nn.ModuleList(
            MaskedLinear(after[:, None] >= before, context_dim) for before, after in pairwise(degrees)
        )
        outputs = degrees[0].repeat(num_outputs)
        self.output = MaskedLinear(outputs[:, None] > degrees[-1], context_dim)

    def forward(self, x: Float[Tensor, "b d"], context: Float[Tensor, "b f"]) -> Float[Tensor, "b o d"]:
        """All outputs in one pass."""
        h = x
        for layer in self.hidden:
            h = F.elu(layer(h, context))
        return self.output(h, context).unflatten(1, (self.num_outputs, -1))


def _spread(dim: int, width: int) -> Int[Tensor, " {width}"]:
    """Degrees from 0 to dim - 1, in order, each as often as the next."""
    return torch.arange(width) * dim // width
