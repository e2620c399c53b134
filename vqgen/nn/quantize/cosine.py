"""A codebook on the unit sphere (arXiv 2110.04627, section 3.2), learned by moving averages."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.nn.quantize.ema import EMAQuantizer


class CosineEMAQuantizer(EMAQuantizer):
    """Inputs and code vectors are scaled to length 1: the nearest code is the one of highest cosine similarity.

    The length of `z_e` carries nothing, so `z_q` is of length 1 and the gradient of `z_e` is orthogonal to it.
    It keeps more codes in use where codebooks are large and `embedding_dim` small (8 to 32). Arguments as for
    `EMAQuantizer`; distances are at most 2, so the commitment loss is small.
    """

    rule = "cosine"

    def project(self, vectors: Float[Tensor, "n d *map"]) -> Float[Tensor, "n d *map"]:
        """The directions of vectors, and of averages of directions: scaled to length 1."""
        return F.normalize(vectors, dim=1)
