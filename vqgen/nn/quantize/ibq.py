"""Index backpropagation quantization (arXiv 2412.02692): all codes learn from every vector."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from vqgen.nn.quantize.base import Quantization, as_stored, rows
from vqgen.nn.quantize.gradient import GradientQuantizer
from vqgen.nn.quantize.search import largest_product, vectors_at_a_time


class IBQ(GradientQuantizer):
    """The code of the largest product z_e . e, whose choice has the gradient of a softmax over all codes.

    z_q = (one_hot + p - sg[p]) codebook, p being the softmax of the products (section 3.2): the encoder's gradient
    goes through p, not straight through. The losses draw code vectors and encoder to each other. Arguments as for
    `GradientQuantizer`.
    """

    rule = "product"

    def initial_codebook(self) -> Float[Tensor, "k d"]:
        """Directions at random: of vectors that are nearly alike, the longest would be the code of all."""
        return torch.randn(self.num_embeddings, self.embedding_dim) * self.embedding_dim**-0.5

    def quantize(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Quantization:
        """Code vectors, with the gradient of all codes' shares."""
        codes = self.choose(z_e, x)
        z_q = as_stored(self.embed(codes), z_e)
        if torch.is_grad_enabled():
            choice = Choice.apply(rows(z_e), self.codebook)
            z_q = z_q + choice.view(len(z_e), *z_e.shape[2:], -1).permute(0, 3, 1, 2)
        return Quantization(as_stored(z_q, z_e), codes, self.losses(z_e, z_q))

    def choose(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Int[Tensor, "b h w"]:
        """The codes of the largest products."""
        return largest_product(x, self.codebook).view(len(z_e), *z_e.shape[2:])


class Choice(torch.autograd.Function):
    """(p - sg[p]) codebook with p = softmax(x codebook^T): zeros, with the gradient of the choice.

    The shares are made in the backward pass, of some vectors at a time: never n x k numbers at once.
    """

    @staticmethod
    def forward(ctx, x: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> Float[Tensor, "n d"]:
        """Nothing."""
        ctx.save_for_backward(x, codebook)
        return torch.zeros_like(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "k d"]]:
        """By way of the products s: ds = p (grad . e - sum p grad . e)."""
        x, codebook = ctx.saved_tensors
        by_x, by_codebook, size = torch.empty_like(x), torch.zeros_like(codebook), vectors_at_a_time(codebook)
        for part, given, out in zip(x.split(size), grad.split(size), by_x.split(size), strict=True):
            shares = (part @ codebook.T).softmax(dim=1)
            slopes = given @ codebook.T
            slopes.sub_((slopes * shares).sum(dim=1, keepdim=True)).mul_(shares)
            torch.mm(slopes, codebook, out=out)
            by_codebook.addmm_(slopes.T, part)
        return by_x, by_codebook
