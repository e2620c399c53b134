"""The Gumbel-softmax quantizer (arXiv 1611.01144, 2102.12092): codes are drawn, not looked for."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.quantize.base import Quantization, VectorQuantizer, as_stored, rows


class GumbelQuantizer(VectorQuantizer):
    """A linear layer makes logits of the codes; in training a code is drawn by them, else the likeliest is taken.

    The drawn code has the gradient of the softmax of logits and Gumbel noise at a temperature (straight-through,
    section 2.2). `kl_loss` is the divergence of the codes' distribution from the uniform one, in nats a position.

    Args, after those of `VectorQuantizer`, of which the commitment cost is not used:
        temperature: of the softmax; lower is nearer to a choice, with a gradient of more variance.
        kl_weight: of `kl_loss`; 5e-4 is usual for images.
    """

    learns_through_z_q = True

    def __init__(self, num_embeddings: int, embedding_dim: int, temperature: float = 1.0, kl_weight: float = 5e-4):
        super().__init__(num_embeddings, embedding_dim, 0.0)
        if temperature <= 0:
            raise ValueError(f"{temperature=} must be positive; 1 is usual")
        if kl_weight < 0:
            raise ValueError(f"{kl_weight=} must not be negative; 5e-4 is usual")
        self.temperature, self.kl_weight = temperature, kl_weight
        self.codebook = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        self.logits = nn.Linear(embedding_dim, num_embeddings)

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of the divergence."""
        return {"kl_loss": self.kl_weight}

    def quantize(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Quantization:
        """The vectors of codes that are drawn, in training, or of the likeliest."""
        logits = self.logits(rows(z_e))
        log_p = logits.log_softmax(dim=1)
        losses = {"kl_loss": (log_p.exp() * log_p).sum(dim=1).mean() + math.log(self.num_embeddings)}
        size = (len(z_e), *z_e.shape[2:])
        if not self.training:
            codes = logits.argmax(dim=1).view(size)
            return Quantization(as_stored(self.embed(codes), z_e), codes, losses)
        noise = -torch.empty_like(logits).exponential_().log()
        shares = ((logits + noise) / self.temperature).softmax(dim=1)
        codes = shares.argmax(dim=1).view(size)
        choice = (shares - shares.detach()) @ self.codebook  # nothing, with the gradient of the choice
        z_q = self.embed(codes) + choice.view(*size, -1).permute(0, 3, 1, 2)
        return Quantization(as_stored(z_q, z_e), codes, losses)

    def put_back(self) -> None:
        """Any vectors make a codebook."""

    def choose(self, z_e: Float[Tensor, "b d h w"], x: Float[Tensor, "n d"]) -> Int[Tensor, "b h w"]:
        """The likeliest codes."""
        return self.logits(x).argmax(dim=1).view(len(z_e), *z_e.shape[2:])
