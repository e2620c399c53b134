"""The vector quantizer of VQ-VAE (arXiv 1711.00937): the codebook is a parameter."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.quantize.base import VectorQuantizer
from vqgen.nn.quantize.kmeans import ask_again, codebook_start


class CodebookLosses(VectorQuantizer):
    """A quantizer whose codebook is drawn to the encoder's outputs by the codebook term, and they to it by another."""

    def losses(self, z_e: Float[Tensor, "b d h w"], z_q: Float[Tensor, "b d h w"]) -> dict[str, Float[Tensor, ""]]:
        """The second and third term of equation 3 of arXiv 1711.00937, the third without its factor beta."""
        codebook_loss = F.mse_loss(z_q, z_e.detach())
        commitment_loss = F.mse_loss(z_e, z_q.detach())
        return {"codebook_loss": codebook_loss, "commitment_loss": commitment_loss}


class GradientQuantizer(CodebookLosses):
    """Codebook trained by gradient descent, through the codebook term of equation 3 of arXiv 1711.00937.

    Simple, and what the first VQ-VAE used; it leaves more codes unused than `EMAQuantizer`.

    Args, after those of `VectorQuantizer`:
        kmeans: start from k-means over the first training batch, not from small random vectors.
        seed: decides what k-means starts from; another for each level.
    """

    started: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        commitment_cost: float = 0.25,
        kmeans: bool = False,
        seed: int = 0,
    ):
        super().__init__(num_embeddings, embedding_dim, commitment_cost)
        self.codebook = nn.Parameter(self.initial_codebook())
        self.seed = seed
        self.has_started: bool | None = None if kmeans else True  # as far as the host knows: `started` tells
        if kmeans:
            self.register_buffer("started", torch.tensor(False))
            self.register_load_state_dict_post_hook(ask_again)
        self.kmeans = kmeans

    def place(self, x: Float[Tensor, "n d"]) -> None:
        """Place the codebook by k-means over the first vectors in training, if asked to."""
        if not self.training:
            return
        if self.has_started is None:
            self.has_started = bool(self.started)
        if not self.has_started:
            self._start(x)

    def learning_state(self) -> list[Tensor]:
        """Whether k-means has been."""
        return [self.started] if self.kmeans else []

    @torch.compiler.disable
    @torch.no_grad()
    def _start(self, x: Float[Tensor, "n d"]) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        self.codebook.copy_(codebook_start(x, self.num_embeddings, generator, self.project).centres)
        self.started.fill_(True)
        self.has_started = True
