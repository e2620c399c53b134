"""A prior over masked maps, with the likelihood of its diffusion as a bound (arXiv 2202.04200, 2406.04329)."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import sample_seeds
from vqgen.models.prior import CodePrior
from vqgen.nn.priors import MaskedNetwork, code_nats
from vqgen.optim import Objective, weighted


class MaskedPrior(CodePrior):
    """p(codes of a level | codes of the levels above, class label), each code given those that are not masked.

    What is minimised is the bound of masked diffusion in continuous time (arXiv 2406.04329), which is the same for all
    schedules of masking: with n of N codes masked, n uniform from 1 to N and the positions any n of them,

        -log p(codes) <= N E[mean over the masked codes of -log p(code given those not masked)].

    It is also the mean over all orders of what an autoregressive prior in that order has (arXiv 2110.02037).

    Args:
        num_masks: masks of an image by which `nll` estimates the bound; more are less noisy, and take as many calls.
        prior: as of `CodePrior`.
    """

    exact = False

    def __init__(self, num_masks: int = 4, **prior: Any) -> None:
        super().__init__(**prior)
        if num_masks < 1:
            raise ValueError(f"{num_masks=} must be at least 1")
        if not isinstance(self.network, MaskedNetwork):
            name = type(self.network).__name__
            raise ValueError(f"model.network: {name} does not take masked maps; MaskedTransformer does")
        self.num_masks = num_masks

    def objective(self, batch: CodeBatch) -> Objective:
        """The bound in nats per code of this level, by one mask of each image, and accuracy of the likeliest code."""
        self.check_given(batch)
        codes = batch.codes[-1]
        size = codes.shape[0]
        share = (torch.rand((), device=codes.device) + torch.randperm(size, device=codes.device) / size) % 1
        masked = masks(share, torch.rand(codes.shape, device=codes.device), codes[0].numel())
        logits = self._logits(codes, masked, batch.condition)
        nats = code_nats(logits, codes) * masked / masked.sum((1, 2), keepdim=True)
        accuracy = ((logits.argmax(1) == codes) & masked).sum() / masked.sum()
        return weighted({"nats_per_code_bound": nats.sum((1, 2)).mean()}, {}, figures={"accuracy": accuracy})

    def measure(self, batch: CodeBatch) -> Objective:
        """The bound by `num_masks` masks of each image, the same ones every time."""
        return weighted({"nats_per_code_bound": self.nll(batch).mean()}, {})

    def nll(self, batch: CodeBatch, known: Bool[Tensor, "h w"] | None = None) -> Float[Tensor, "b h w"]:
        """An estimate of the bound in nats of the codes that are not known, given those that are, wherever they are.

        The mean over these positions is the mean of the bound. The masks of an image are a function of its index, their
        numbers of codes spread over all there can be.
        """
        codes, total = batch.codes[-1], torch.zeros(batch.codes[-1].shape, device=batch.codes[-1].device)
        known = torch.zeros(self.grid, dtype=torch.bool) if known is None else known.cpu()
        number = int((~known).sum())
        seeds = sample_seeds(0, batch.index.tolist(), self.level, "masks")
        streams = [np.random.default_rng(seed) for seed in seeds]
        first = torch.tensor([stream.random() for stream in streams])
        for i in range(self.num_masks):
            order = torch.from_numpy(np.stack([stream.random(codes.shape[1:]) for stream in streams]))
            masked = masks((first + i) / self.num_masks, order.masked_fill(known, 1.0), number).to(codes.device)
            nats = code_nats(self._logits(codes, masked, batch.condition), codes)
            total += nats * masked * (number / masked.sum((1, 2), keepdim=True))
        return total / self.num_masks

    def _logits(
        self, codes: Int[Tensor, "b h w"], masked: Bool[Tensor, "b h w"], condition: Condition
    ) -> Float[Tensor, "b k h w"]:
        return self(codes.masked_fill(masked, self.num_embeddings), condition)


def masks(share: Float[Tensor, " b"], order: Float[Tensor, "b h w"], most: int) -> Bool[Tensor, "b h w"]:
    """Of each map the positions that come first in `order`: 1 for a share of 0, `most` for one just below 1."""
    number = 1 + (share * most).long().clamp(max=most - 1)
    rank = order.flatten(1).argsort(dim=1).argsort(dim=1).view_as(order)
    return rank < number[:, None, None]
