"""Batch norm over the batch that all processes of a job share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vqgen.nn.distributed import mean_over_ranks, world_size


class JoinedBatchNorm(_BatchNorm):
    """Batch norm (arXiv 1502.03167) whose mean and variance in training are those of the batch of all ranks.

    torch's `SyncBatchNorm` is for GPUs alone; this one is for any device, and replaces any batch norm of torch. In
    evaluation, and in a single process, it does the same as they.
    """

    @classmethod
    def of(cls, other: nn.Module) -> "JoinedBatchNorm":
        """One that shares the parameters and running averages of another batch norm."""
        assert isinstance(other, _BatchNorm)
        joined = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        joined._parameters, joined._buffers = other._parameters, other._buffers
        return joined.train(other.training)

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:
        """Normalized in each channel."""
        if world_size() == 1 or not (self.training or self.running_mean is None):
            return super().forward(x)
        size = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x.float(), [0, *range(2, x.ndim)], correction=0)
        joined = mean_over_ranks(mean, size)
        variance = mean_over_ranks(variance + (mean - joined).square(), size)
        if self.training:
            self._update_running(joined.detach(), variance.detach(), size)
        scale = torch.rsqrt(variance + self.eps) * (1 if self.weight is None else self.weight)
        shift = (0 if self.bias is None else self.bias) - joined * scale
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (x * scale.view(shape) + shift.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, size: int) -> None:
        """Update the running averages as torch does: the variance is the one without bias."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        weight = 1 / self.num_batches_tracked.float() if self.momentum is None else mean.new_full((), self.momentum)
        total = mean_over_ranks(mean.new_full((), size), 1) * world_size()
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * total / (total - 1), weight)

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept every number of axes after the channels."""


def join_batch_norms(module: nn.Module) -> None:
    """Let every batch norm within a module take its statistics over all ranks."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                setattr(parent, name, JoinedBatchNorm.of(child))
