"""A clamp for logarithms of scales, with a gradient that leads back from outside of the range."""

import torch
from jaxtyping import Shaped
from torch import Tensor


class ProjectedClamp(torch.autograd.Function):
    """`values` within [low, high]; the gradient is that of the identity, except where it would lead further out.

    A plain clamp has no gradient outside of its range: an output that once got there would stay. Here descent takes
    it back, and only steps away from the range are left out (projected gradient descent).
    """

    @staticmethod
    def forward(ctx, values: Tensor, low: float, high: float) -> Tensor:
        """Clamp."""
        ctx.save_for_backward(values)
        ctx.low, ctx.high = low, high
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        """Descent goes against `grad`: above the range only a positive one leads back, below it a negative one."""
        (values,) = ctx.saved_tensors
        outward = ((values > ctx.high) & (grad < 0)) | ((values < ctx.low) & (grad > 0))
        return grad.masked_fill(outward, 0.0), None, None


def projected_clamp(values: Shaped[Tensor, "*n"], low: float, high: float) -> Shaped[Tensor, "*n"]:
    """`values` clamped to [low, high], with the gradient of `ProjectedClamp`."""
    return ProjectedClamp.apply(values, low, high)
