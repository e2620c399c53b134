"""Quantizers of the package vector-quantize-pytorch, as quantizers of a tokenizer of ours: only benchmarks need it."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.quantize.base import Quantization, Quantizer
from vqgen.nn.quantize.fsq import levels_for


class PeerQuantizer(Quantizer):
    """One of the package's classes; what its authors advise is set, and what is a number here is the same number there.

    Args:
        kind: as `model/quantizer=` names ours.
        num_embeddings: codes K; of fsq about so many.
        embedding_dim: numbers of a code vector, where K does not decide it.
    """

    def __init__(self, kind: str, num_embeddings: int, embedding_dim: int):
        super().__init__()
        self.kind = kind
        self.peer = self._made(kind, num_embeddings, embedding_dim)
        if kind == "fsq":
            self.num_embeddings, self.embedding_dim = self.peer.codebook_size, self.peer.dim
        else:
            self.num_embeddings = num_embeddings
            self.embedding_dim = num_embeddings.bit_length() - 1 if kind == "lfq" else embedding_dim

    @staticmethod
    def _made(kind: str, num_embeddings: int, embedding_dim: int) -> Any:
        from vector_quantize_pytorch import FSQ, LFQ, SimVQ, VectorQuantize

        if kind == "fsq":
            return FSQ(levels_for(num_embeddings))
        if kind == "lfq":
            return LFQ(codebook_size=num_embeddings, entropy_loss_weight=0.1, diversity_gamma=1.0)
        if kind == "simvq":
            return SimVQ(embedding_dim, num_embeddings, channel_first=True)
        options = {
            "ema": {"kmeans_init": True, "threshold_ema_dead_code": 2},
            "cosine": {"kmeans_init": True, "threshold_ema_dead_code": 2, "use_cosine_sim": True},
            "rotation": {"kmeans_init": True, "threshold_ema_dead_code": 2, "rotation_trick": True},
            "gradient": {"learnable_codebook": True, "ema_update": False},
            "gradient_kmeans": {"learnable_codebook": True, "ema_update": False, "kmeans_init": True},
        }[kind]
        shared = {"decay": 0.99, "commitment_weight": 0.25, "rotation_trick": False, "accept_image_fmap": True}
        return VectorQuantize(embedding_dim, num_embeddings, **shared | options)

    def forward(self, z_e: Float[Tensor, "b d h w"]) -> Quantization:
        """As the package does it; its losses come weighted."""
        z_q, codes, *losses = self.peer(z_e)
        return Quantization(z_q, codes.long(), {"peer_loss": losses[0].sum()} if losses else {})

    @torch.no_grad()
    def nearest(self, z_e: Float[Tensor, "b d h w"]) -> Int[Tensor, "b h w"]:
        """The codes in evaluation."""
        training = self.peer.training
        codes = self.peer.eval()(z_e)[1].long()
        self.peer.train(training)
        return codes

    @torch.no_grad()
    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """The package's vectors."""
        if self.kind in ("fsq", "lfq", "simvq"):
            return self.peer.indices_to_codes(codes)
        return self.peer.get_codes_from_indices(codes)
