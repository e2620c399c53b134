"""The rotation trick (arXiv 2410.06424): another gradient through the quantizer."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.nn.quantize.ema import EMAQuantizer

MAX_SCALE = 10.0
"""Largest factor lambda on the gradient."""


class RotationEMAQuantizer(EMAQuantizer):
    """`EMAQuantizer` whose gradient turns and scales with the step from `z_e` to its code vector.

    The output is seen as a constant linear map of the input, z_q = lambda R z_e, where R is the rotation in the
    plane of z_e and z_q that takes the direction of one to that of the other, and lambda the ratio of their
    lengths (section 4.2). The angle between gradient and vector is thus kept, where the straight-through gradient
    is the same for all inputs of a code.

    The paper's lambda grows without bound as z_e nears the origin, and one such vector would decide the step. There
    z_e counts as a tenth as long as its code vector: lambda is `MAX_SCALE` at most. A vector below a tenth of that
    length is further from its code than nine tenths of it, where a linear map says nothing of the quantizer any more;
    all others have the paper's gradient. Arguments as for `EMAQuantizer`.
    """

    def carry_gradient(self, z_e: Float[Tensor, "b d h w"], z_q: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """`z_q`, with the gradient of lambda R z_e."""
        return RotationGradient.apply(z_e, z_q)


class RotationGradient(torch.autograd.Function):
    """The value of the second argument; to the first, the gradient of the map lambda R held constant."""

    @staticmethod
    def forward(ctx, z_e: Tensor, z_q: Tensor) -> Tensor:
        """Pass on `z_q`."""
        ctx.save_for_backward(z_e, z_q)
        return z_q.view_as(z_q)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        """lambda R^T grad, of R = I - 2 r r^T + 2 q e^T with unit vectors e, q and r along e + q (equation 4).

        Its length is at most lambda times that of `grad` (three times that where e has no direction).
        """
        z_e, z_q = ctx.saved_tensors
        e, q = F.normalize(z_e, dim=1), F.normalize(z_q, dim=1)
        r = F.normalize(e + q, dim=1)
        length_e, length_q = z_e.norm(dim=1, keepdim=True), z_q.norm(dim=1, keepdim=True)
        scale = length_q / torch.maximum(length_e, length_q / MAX_SCALE).clamp(min=torch.finfo(z_e.dtype).tiny)
        turned = grad - 2 * r * _dot(r, grad) + 2 * e * _dot(q, grad)
        return scale * turned, None


def _dot(a: Float[Tensor, "b d h w"], b: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 1 h w"]:
    return (a * b).sum(dim=1, keepdim=True)
