"""Inverse autoregressive flow (arXiv 1606.04934)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.nn.posteriors.made import MADE
from vqgen.nn.sizes import check_at_least


class FlowOutput(NamedTuple):
    """The transformed vectors, and for each dimension its part of log |det dz/dz_0|, which is their sum."""

    z: Float[Tensor, "b d"]
    log_det: Float[Tensor, "b d"]


class IAF(nn.Module):
    """Steps z <- sigmoid(s) * z + (1 - sigmoid(s)) * m with [m, s] of z by a masked network (equations 12 to 14).

    m and s at a position depend on the positions before it only, in every second step on those after it; the
    Jacobian of each step is triangular with sigmoid(s) on its diagonal. Gates start half open to wide (s about
    `FORGET_BIAS`), so that the flow starts near the identity.

    Args:
        dim: length of the latent vector.
        hidden_channels: width of each hidden layer of a step's network; at least `dim`, or some positions do not see
            all of those before them.
        context_dim: numbers in the context vector h that every step sees.
        num_steps: number of steps, at least 1.
    """

    FORGET_BIAS = 2.0

    def __init__(self, dim: int, hidden_channels: Sequence[int], context_dim: int, num_steps: int):
        check_at_least(1, dim=dim, context_dim=context_dim, num_steps=num_steps)
        super().__init__()
        self.steps = nn.ModuleList(MADE(dim, 2, hidden_channels, context_dim) for _ in range(num_steps))
        for step in self.steps:
            assert isinstance(step, MADE)
            nn.init.constant_(step.output.context.bias[dim:], self.FORGET_BIAS)

    def forward(self, z: Float[Tensor, "b d"], context: Float[Tensor, "b f"]) -> FlowOutput:
        """Transform `z`, all steps."""
        log_det = torch.zeros_like(z)
        for i, step in enumerate(self.steps):
            given = step(z, context) if i % 2 == 0 else step(z.flip(1), context).flip(2)
            m, s = given.to(z.dtype).unbind(1)  # float32 under autocast too: z and its log-determinant must agree
            z = torch.sigmoid(s) * z + torch.sigmoid(-s) * m
            log_det = log_det + F.logsigmoid(s)
        return FlowOutput(z, log_det)
