"""SimVQ (arXiv 2411.02038): a codebook that moves as a whole."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vqgen.nn.quantize.base import without_autocast
from vqgen.nn.quantize.gradient import CodebookLosses


class SimVQ(CodebookLosses):
    """The codebook is a table of random vectors that stays as it is, times one matrix that is learnt by gradient.

    Whatever code is used, all codes move (section 3): few go unused. Arguments as for `VectorQuantizer`.
    """

    basis: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, commitment_cost: float = 0.25):
        super().__init__(num_embeddings, embedding_dim, commitment_cost)
        self.register_buffer("basis", torch.randn(num_embeddings, embedding_dim) * embedding_dim**-0.5)
        self.transform = nn.Linear(embedding_dim, embedding_dim, bias=False)

    @property
    def codebook(self) -> Float[Tensor, "k d"]:  # type: ignore[override]
        """The code vectors, in float32 also under autocast."""
        with without_autocast(self.basis.device):
            return self.transform(self.basis)

    def put_back(self) -> None:
        """Any matrix makes a codebook."""
