"""A critic beside a tokenizer, which learns to be taken for real by it (VQGAN, arXiv 2012.09841)."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vqgen.batch import ImageBatch
from vqgen.errors import ConfigError, near_miss
from vqgen.nn.distributed import mean_over_ranks
from vqgen.optim import Objective, weighted

PENALTIES = ("none", "r1", "lecam")
LARGEST = 1e4  # of the adaptive weight, as published


class Adversary(nn.Module):
    """The losses of a critic and of what it judges, as hinges (arXiv 1705.02894).

    The critic learns from the first step on. The other's `adversarial_loss` counts from `start_step`, with `weight`
    times, where `adaptive`, |d reconstruction| / |d adversarial|, gradients by the last layer's weights (VQGAN, eq. 7).
    All are means over the joined batch of all ranks.

    Args:
        network: makes the critic from `in_channels`, images to numbers of any map.
        in_channels: image channels.
        optimizer: makes the critic's optimiser.
        weight: of `adversarial_loss`.
        start_step: optimiser steps before it counts.
        adaptive: see above.
        penalty: what holds the critic back: `none`; `r1`, its squared gradient by images (arXiv 1801.04406, eq. 9); or
            `lecam`, the distance of what it says to the running mean of what it says of the other kind (arXiv
            2104.03310, eq. 5).
        penalty_weight: of it; 1 to 10 for r1, 0.001 to 0.01 for lecam.
        decay: of lecam's running means, one step a micro-batch.
    """

    real_mean: Tensor
    made_mean: Tensor

    def __init__(
        self,
        network: Callable[..., nn.Module],
        in_channels: int,
        optimizer: Callable[..., Optimizer],
        weight: float = 0.1,
        start_step: int = 0,
        adaptive: bool = True,
        penalty: str = "lecam",
        penalty_weight: float = 0.001,
        decay: float = 0.999,
    ) -> None:
        super().__init__()
        if penalty not in PENALTIES:
            raise ValueError(f"penalty={penalty}: no such penalty{near_miss(penalty, PENALTIES)}")
        for name, value in (("weight", weight), ("start_step", start_step), ("penalty_weight", penalty_weight)):
            if value < 0:
                raise ValueError(f"{name}={value} must not be negative")
        if not 0 <= decay < 1:
            raise ValueError(f"{decay=} must be in [0, 1); 0.999 is usual")
        self.network = network(in_channels=in_channels)
        self.optimizer = optimizer
        self.weight, self.start_step, self.adaptive = weight, start_step, adaptive
        self.penalty, self.penalty_weight, self.decay = penalty, penalty_weight, decay
        if penalty == "lecam":
            self.register_buffer("real_mean", torch.tensor(0.0))
            self.register_buffer("made_mean", torch.tensor(0.0))

    def fool(
        self,
        objective: Objective,
        x_hat: Float[Tensor, "b c h w"],
        step: int,
        recon_loss: Float[Tensor, ""],
        last_layer: Tensor | None,
    ) -> Objective:
        """The objective of what makes images, with the wish that they be taken for real.

        Args:
            objective: without it.
            x_hat: the images, with their gradient.
            step: optimiser steps so far.
            recon_loss: the part of the objective that the adversarial loss is weighed against.
            last_layer: the weights by which both are differentiated.

        Raises:
            ConfigError: it is adaptive, and there is no last layer that is trained.
        """
        counts = step >= self.start_step
        with torch.set_grad_enabled(counts and torch.is_grad_enabled()):
            loss = -self.network(x_hat).mean()
        balance = loss.new_tensor(1.0)
        if self.adaptive and last_layer is None:
            raise ConfigError("model.critic.adaptive=true: nothing of the decoder is trained; take false")
        if self.adaptive and loss.requires_grad and last_layer is not None:
            balance = balance_of(recon_loss, loss, last_layer, len(x_hat))
        weight = self.weight * balance if counts else 0.0
        whole = objective.plus({"adversarial_loss": loss}, {"adversarial_loss": weight})
        figures = {**objective.figures, "adversarial_balance": balance}
        return whole._replace(figures=figures, outputs={"x_hat": x_hat})

    def judge(self, batch: ImageBatch, outputs: Mapping[str, Tensor]) -> Objective:
        """The critic's objective: numbers above 1 for real images, below -1 for those that were made."""
        penalised = self.penalty != "none" and self.penalty_weight > 0
        x = batch.x.detach().requires_grad_(self.penalty == "r1" and penalised)
        real, made = self.network(x), self.network(outputs["x_hat"])
        losses = {"hinge_real": F.relu(1 - real).mean(), "hinge_made": F.relu(1 + made).mean()}
        if penalised:
            losses[self.penalty] = self._r1(x, real) if self.penalty == "r1" else self._lecam(real, made)
        means = {"real": real.detach().mean(), "made": made.detach().mean()}
        return weighted(losses, {self.penalty: self.penalty_weight} if penalised else {}, means)

    def _r1(self, x: Float[Tensor, "b c h w"], real: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        (slope,) = torch.autograd.grad(real.flatten(1).mean(dim=1).sum(), x, create_graph=True)
        return slope.square().flatten(1).sum(dim=1).mean() / 2

    def _lecam(self, real: Float[Tensor, "b ..."], made: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
        means = mean_over_ranks(torch.stack([real.detach().mean(), made.detach().mean()]).float(), len(real))
        for running, mean in zip((self.real_mean, self.made_mean), means, strict=True):
            running.lerp_(mean, 1 - self.decay)
        return (real - self.made_mean).square().mean() + (made - self.real_mean).square().mean()


def balance_of(
    recon_loss: Float[Tensor, ""], adversarial_loss: Float[Tensor, ""], weights: Tensor, size: int
) -> Float[Tensor, ""]:
    """|d recon_loss| / (|d adversarial_loss| + 1e-6) by the weights, of the joined batch (arXiv 2012.09841, eq. 7)."""
    both = [torch.autograd.grad(loss, weights, retain_graph=True)[0] for loss in (recon_loss, adversarial_loss)]
    recon, adversarial = mean_over_ranks(torch.stack(both).float(), size)
    return (recon.norm() / (adversarial.norm() + 1e-6)).clamp(max=LARGEST).detach()


def last_weights(module: nn.Module) -> Tensor | None:
    """The weights of the last of its layers that are trained, in the order in which it has them, if there are any."""
    trained = [parameter for parameter in module.parameters() if parameter.dim() > 1 and parameter.requires_grad]
    return trained[-1] if trained else None
