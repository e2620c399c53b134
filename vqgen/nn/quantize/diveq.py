"""DiVeQ (arXiv 2509.26469): a step to the code vector through which both of its ends learn."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.nn.quantize.base import Quantization, as_stored
from vqgen.nn.quantize.gradient import GradientQuantizer

TINY = 1e-12


class DiVeQ(GradientQuantizer):
    """z_q = z_e + |e - z_e| sg[v / |v|], with v = e - z_e and noise: there is no further loss.

    The length of the step has a gradient for the encoder and for the code vector, its direction has none. In training
    the noise moves z_q off the code vector a little; without training z_q is the code vector.

    Args, after those of `VectorQuantizer`, of which the commitment cost is not used:
        noise: standard deviation of each number of the noise, in parts of the step's root mean square; small.
    """

    learns_through_z_q = True

    def __init__(
        self, num_embeddings: int, embedding_dim: int, noise: float = 0.03, kmeans: bool = True, seed: int = 0
    ):
        super().__init__(num_embeddings, embedding_dim, 0.0, kmeans, seed)
        if noise < 0:
            raise ValueError(f"{noise=} must not be negative; 0.03 is usual, 0 is none")
        self.noise = noise

    @property
    def loss_weights(self) -> dict[str, float]:
        """There are no losses."""
        return {}

    def quantize(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Quantization:
        """Steps to the nearest code vectors."""
        codes = self.choose(z_e, x)
        vectors = as_stored(self.embed(codes), z_e)
        if not self.training:
            return Quantization(vectors, codes, {})
        step = vectors - z_e
        length = (step.square().sum(dim=1, keepdim=True) + TINY).sqrt()
        scale = self.noise * length.detach() / self.embedding_dim**0.5
        towards = step.detach() + scale * torch.randn_like(step)
        return Quantization(z_e + length * F.normalize(towards, dim=1), codes, {})
