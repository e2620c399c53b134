"""The vector quantizer of VQ-VAE (arXiv 1711.00937): the codebook is a parameter."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.quantize.base import VectorQuantizer


class GradientQuantizer(VectorQuantizer):
    """Codebook trained by gradient descent, through the codebook term of equation 3 of arXiv 1711.00937.

    Simple, and what the first VQ-VAE used; it leaves more codes unused than `EMAQuantizer`. Arguments as for
    `VectorQuantizer`.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, commitment_cost: float = 0.25):
        super().__init__(num_embeddings, embedding_dim, commitment_cost)
        self.codebook = nn.Parameter(self.initial_codebook())

    def losses(self, z_e: Float[Tensor, "b d h w"], z_q: Float[Tensor, "b d h w"]) -> dict[str, Float[Tensor, ""]]:
        """The second and third term of equation 3, the third without its factor beta."""
        codebook_loss = F.mse_loss(z_q, z_e.detach())
        commitment_loss = F.mse_loss(z_e, z_q.detach())
        return {"codebook_loss": codebook_loss, "commitment_loss": commitment_loss}
