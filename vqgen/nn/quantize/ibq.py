"""Index backpropagation quantization (arXiv 2412.02692): all codes learn from every vector."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.quantize.base import Quantization, as_stored, rows
from vqgen.nn.quantize.gradient import GradientQuantizer


class IBQ(GradientQuantizer):
    """The code of the largest product z_e . e, whose choice has the gradient of a softmax over all codes.

    z_q = (one_hot + p - sg[p]) codebook, p being the softmax of the products (section 3.2): the encoder's gradient
    goes through p, not straight through. The losses draw code vectors and encoder to each other. Memory for a number
    for each vector and code is needed in training. Arguments as for `GradientQuantizer`.
    """

    def initial_codebook(self) -> Float[Tensor, "k d"]:
        """Directions at random: of vectors that are nearly alike, the longest would be the code of all."""
        return torch.randn(self.num_embeddings, self.embedding_dim) * self.embedding_dim**-0.5

    def quantize(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Quantization:
        """Code vectors, with the gradient of all codes' shares."""
        codes = self.choose(z_e, x)
        z_q = as_stored(self.embed(codes), z_e)
        if torch.is_grad_enabled():
            shares = (rows(z_e) @ self.codebook.T).softmax(dim=1)
            choice = (shares - shares.detach()) @ self.codebook  # nothing, with the gradient of the choice
            z_q = z_q + choice.view(len(z_e), *z_e.shape[2:], -1).permute(0, 3, 1, 2)
        return Quantization(as_stored(z_q, z_e), codes, self.losses(z_e, z_q))

    def choose(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Int[Tensor, "b h w"]:
        """The codes of the largest products."""
        parts = [(part @ self.codebook.detach().T).argmax(dim=1) for part in x.split(2**14)]
        return torch.cat(parts).view(len(z_e), *z_e.shape[2:])
