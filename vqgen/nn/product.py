"""Products of a weight matrix with few vectors, as one position of a map after another needs them.

A general matrix product spends its time on reading and rearranging the weights when there are but a few vectors.
What is quickest then depends on the library behind torch; the results are the same up to rounding.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LARGE_FOR_ONE, LARGE_FOR_SOME = 2**14, 2**17
"""Entries from which on a matrix is worth more than the general product, with one vector or with some."""


class Product(ABC):
    """Multiplies vectors with a fixed weight matrix."""

    @abstractmethod
    def linear(self, x: Float[Tensor, "b i"], bias: Float[Tensor, " o"]) -> Float[Tensor, "b o"]:
        """The products plus the bias."""

    @abstractmethod
    def add(self, sums: Float[Tensor, "b o"], x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """`sums`, with the products added in place."""


class PlainProduct(Product):
    """A general matrix product."""

    def __init__(self, weight: Float[Tensor, "o i"]):
        self.weight, self.transposed = weight, weight.t()

    def linear(self, x: Float[Tensor, "b i"], bias: Float[Tensor, " o"]) -> Float[Tensor, "b o"]:
        """The products plus the bias."""
        return F.linear(x, self.weight, bias)

    def add(self, sums: Float[Tensor, "b o"], x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """`sums`, with the products added in place."""
        return sums.addmm_(x, self.transposed)


class VectorProduct(Product):
    """A single vector: as a batch of products with parts of the matrix, which are bound by memory alone."""

    PARTS = 4

    def __init__(self, weight: Float[Tensor, "o i"]):
        self.weight = weight.unflatten(0, (self.PARTS, -1))

    def linear(self, x: Float[Tensor, "1 i"], bias: Float[Tensor, " o"]) -> Float[Tensor, "1 o"]:
        """The product plus the bias."""
        sums = bias.view(self.PARTS, -1, 1)
        return torch.baddbmm(sums, self.weight, x.t().expand(self.PARTS, -1, 1)).view(1, -1)

    def add(self, sums: Float[Tensor, "1 o"], x: Float[Tensor, "1 i"]) -> Float[Tensor, "1 o"]:
        """`sums`, with the product added in place."""
        sums.view(self.PARTS, -1, 1).baddbmm_(self.weight, x.t().expand(self.PARTS, -1, 1))
        return sums


class PackedProduct(Product):
    """A product whose matrix oneDNN has arranged once for good, as `torch.compile` has it do."""

    def __init__(self, weight: Float[Tensor, "o i"], num_vectors: int):
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), num_vectors)

    @staticmethod
    def serves(weight: Float[Tensor, "o i"]) -> bool:
        """Whether oneDNN has it for such a matrix."""
        return (
            weight.dtype == torch.float32
            and torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        )

    def linear(self, x: Float[Tensor, "b i"], bias: Float[Tensor, " o"]) -> Float[Tensor, "b o"]:
        """The products plus the bias."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, bias, "none", [], "")

    def add(self, sums: Float[Tensor, "b o"], x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """`sums`, with the products added in place."""
        return sums.add_(torch.ops.mkldnn._linear_pointwise(x, self.packed, None, "none", [], ""))


def product(weight: Float[Tensor, "o i"], num_vectors: int) -> Product:
    """The quickest product of `weight` with `num_vectors` vectors at a time."""
    on_cpu, size = weight.device.type == "cpu", weight.numel()
    if on_cpu and num_vectors == 1 and size >= LARGE_FOR_ONE and weight.shape[0] % VectorProduct.PARTS == 0:
        return VectorProduct(weight)
    if on_cpu and num_vectors > 1 and size >= LARGE_FOR_SOME and PackedProduct.serves(weight):
        return PackedProduct(weight, num_vectors)
    return PlainProduct(weight)
