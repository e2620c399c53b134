"""Products of weights with few vectors, and with few rows, as drawing one position after another needs them.

With but few vectors, a general product or convolution spends its time on reading and rearranging the weights.
What is quickest then depends on the library behind torch; the results are the same up to rounding. The arranged
weights of oneDNN are those that `torch.compile` uses; where torch has none, the general operations serve.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vqgen.environment import compat

LARGE_FOR_SOME = 2**17
"""Entries from which on a matrix is worth more than the general product, with some vectors."""

FEW_POSITIONS, SOME_POSITIONS = 32, 256
"""Rows of up to so many positions are convolved by a matrix product, or with arranged weights: these are a copy, which
for longer rows only small layers are worth."""

LARGE_FOR_LAYERS = 2**16
"""Entries from which on a matrix is worth a product of its own, beside those of other layers."""

LARGE_FOR_ROWS = 2**18
"""Entries of one layer's weights from which on a copy of them costs memory worth saving."""


ENTRIES_FOR_THREADS, OPERATIONS_FOR_THREADS = 2**16, 2**19
"""Matrix entries, or multiply-adds, of an average layer from which on several threads share a product."""


def threads_pay(entries: Sequence[int], num_vectors: int) -> bool:
    """Whether matrices of so many entries are worth the threads' waiting for each other at every product.

    The wait is microseconds on an idle machine, but milliseconds where other programs take the cores.
    """
    average = sum(entries) / max(1, len(entries))
    return average >= ENTRIES_FOR_THREADS or average * num_vectors >= OPERATIONS_FOR_THREADS


AddProducts = Callable[[Tensor, Tensor], Tensor]
"""`add(sums, x)` adds the products of a fixed matrix with `x`, ``b i``, to `sums`, ``b o``, in place."""


def plain_product(weight: Float[Tensor, "o i"], num_vectors: int) -> AddProducts:
    """By a general matrix product."""
    transposed = weight.t()
    return lambda sums, x: sums.addmm_(x, transposed)


def packed_product(weight: Float[Tensor, "o i"], num_vectors: int) -> AddProducts:
    """By a matrix that oneDNN has arranged once for all products."""
    packed = compat.arrange_linear(weight, num_vectors)
    return lambda sums, x: sums.add_(compat.multiply_arranged(x, packed))


def quickest(weight: Float[Tensor, "o i"], num_vectors: int) -> Callable[[Tensor, int], AddProducts]:
    """Which of these is the quickest for `num_vectors` vectors at a time."""
    packed = num_vectors > 1 and weight.numel() >= LARGE_FOR_SOME and compat.can_arrange(weight)
    return packed_product if packed else plain_product


def product(weight: Float[Tensor, "o i"], num_vectors: int) -> AddProducts:
    """The quickest product of `weight` with `num_vectors` vectors at a time."""
    return quickest(weight, num_vectors)(weight, num_vectors)


def products(weights: Sequence[Float[Tensor, "o i"]], num_vectors: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The quickest products of each of `weights` with its own vectors.

    The function returned gives new sums: `sums`, ``n b o``, plus the products with `x`, ``n b i``.
    """
    if weights[0].numel() < LARGE_FOR_LAYERS:
        transposed = torch.stack([*weights]).transpose(1, 2)
        return lambda sums, x: torch.baddbmm(sums, x, transposed)
    each = [product(weight, num_vectors) for weight in weights]

    def plus(sums: Float[Tensor, "n b o"], x: Float[Tensor, "n b i"]) -> Float[Tensor, "n b o"]:
        sums = sums.clone()
        for add, total, vectors in zip(each, sums.unbind(0), x.unbind(0), strict=True):
            add(total, vectors)
        return sums

    return plus


class RowConvolution:
    """The convolution of whole rows that gives one row.

    Args:
        taps: weights of the rows' taps in raster order, with the channels last.
        bias: added everywhere.
        columns: width of the window.
        num_positions: of the row, over all samples.
    """

    def __init__(self, taps: Float[Tensor, "o n i"], bias: Float[Tensor, " o"], columns: int, num_positions: int):
        self.taps, self.bias, self.columns = taps, bias, columns
        self.by_product = num_positions <= FEW_POSITIONS
        worth = num_positions <= SOME_POSITIONS or taps.numel() < LARGE_FOR_ROWS
        self.arrange = worth and not self.by_product and compat.can_arrange(taps)
        self.arranged: Tensor | None = None

    def __call__(self, rows: Float[Tensor, "b r v i"]) -> Float[Tensor, "_ _ o"]:
        """The row below `rows`: the last rows of the window, padded by ``columns // 2`` on either side.

        Rows further up, if any are missing, are outside the map.
        """
        if rows.shape[1] == 0:
            return self.bias.view(1, 1, -1)
        taps = self.taps[:, self.taps.shape[1] - rows.shape[1] * self.columns :]
        if self.by_product:
            return F.linear(windows(rows, self.columns), taps.flatten(1), self.bias)
        x, kernel = rows.permute(0, 3, 1, 2), taps.unflatten(1, (-1, self.columns)).permute(0, 3, 1, 2)
        if not self.arrange or taps.shape != self.taps.shape:
            return F.conv2d(x, kernel, self.bias).squeeze(2).transpose(1, 2)
        if self.arranged is None:
            self.arranged = compat.arrange_conv2d(kernel, x.shape)
        return compat.convolve_arranged(x, self.arranged, self.bias).squeeze(2).transpose(1, 2)


class RowConvolutions:
    """Convolutions of whole rows, one for each of some like layers; arguments as for `RowConvolution`."""

    def __init__(
        self,
        taps: Sequence[Float[Tensor, "o n i"]],
        biases: Sequence[Float[Tensor, " o"]],
        columns: int,
        num_positions: int,
    ):
        self.columns, self.bias = columns, torch.stack([*biases]).unsqueeze(1)
        self.each = [RowConvolution(t, b, columns, num_positions) for t, b in zip(taps, biases, strict=True)]
        few = num_positions <= FEW_POSITIONS and taps[0].numel() < LARGE_FOR_ROWS
        self.transposed = torch.stack([*taps]).flatten(2).transpose(1, 2) if few else None

    def __call__(self, rows: Float[Tensor, "n b r v i"], out: Float[Tensor, "n b w o"]) -> None:
        """Write the rows below into `out`; see `RowConvolution`."""
        if rows.shape[2] == 0:
            out.copy_(self.bias.unsqueeze(2))
        elif self.transposed is None:
            for convolve, x, result in zip(self.each, rows.unbind(0), out.unbind(0), strict=True):
                result.copy_(convolve(x))
        else:
            x = windows(rows, self.columns).flatten(1, 2)
            sums = torch.baddbmm(self.bias, x, self.transposed[:, -x.shape[2] :])
            out.copy_(sums.view_as(out))


def windows(rows: Float[Tensor, "*n r v i"], columns: int) -> Float[Tensor, "*n w m"]:
    """What a window that moves along the rows sees at each place, tap by tap in raster order."""
    return rows.unfold(-2, columns, 1).transpose(-4, -3).transpose(-2, -1).flatten(-3)
