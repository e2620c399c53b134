"""Drawing many positions at a time, in few steps, from a prior that sees all positions which are drawn already."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.sampler import Draw
from vqgen.errors import UserError
from vqgen.nn.sizes import check_at_least

DEFAULT_STEPS = 12


class MaskedSampler(ABC):
    """Draws every masked position at every step, keeps some of them and masks the others again.

    After step t of T, cos(pi t / 2T) of the positions to be drawn are still masked (arXiv 2202.04200, section 3.3): few
    are kept at first, where little is known, and many at the end. Positions kept in one step do not know of each other,
    so that more steps are nearer to the prior's own distribution.

    Args:
        steps: calls of the network; at most as many as there are positions. 8 to 16 are usual.
    """

    def __init__(self, steps: int = DEFAULT_STEPS) -> None:
        check_at_least(1, steps=steps)
        self.steps = steps

    def __call__(self, model: ConditionedNetwork, draw: Draw) -> Int[Tensor, "b h w"]:
        """Maps drawn from the model.

        Raises:
            UserError: more steps than positions, or a prior that draws one position after another.
        """
        length, mask_code = draw.grid[0] * draw.grid[1], model.mask_code
        if self.steps > length:
            raise UserError(f"steps={self.steps}: a map of {draw.grid[0]}x{draw.grid[1]} has {length} positions")
        uniforms = draw.uniforms(model.device)
        codes = draw.keep(torch.full((len(draw.seeds), *draw.grid), mask_code, device=model.device))
        wanted = (codes == mask_code).sum((1, 2))
        for t in tqdm(range(self.steps), desc="steps", disable=not draw.progress, leave=False):
            logits = model.masked_logits(codes, 1 - masked_share(t, self.steps)).permute(0, 2, 3, 1)
            drawn = draw.sampling.draw(logits.flatten(0, 2), next(uniforms).flatten()[:, None]).view_as(codes)
            log_prob = logits.log_softmax(3).gather(3, drawn[..., None])[..., 0]
            score = self.score(log_prob, next(uniforms), t).masked_fill(codes != mask_code, torch.inf)
            rank = score.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1).view_as(codes)
            left = (wanted * masked_share(t + 1, self.steps)).long().clamp(max=(wanted - t - 1).clamp(min=0))
            codes = torch.where((codes == mask_code) & (rank < length - left[:, None, None]), drawn, codes)
        return codes

    @abstractmethod
    def score(
        self, log_prob: Float[Tensor, "b h w"], uniform: Float[Tensor, "b h w"], step: int
    ) -> Float[Tensor, "b h w"]:
        """The positions of the highest scores are kept.

        Args:
            log_prob: of the codes drawn at this step, in nats.
            uniform: random numbers in [0, 1).
            step: from 0.
        """


def masked_share(step: int, steps: int) -> float:
    """Share of the positions that is masked after so many of all steps; none after the last."""
    return math.cos(math.pi / 2 * step / steps) if step < steps else 0.0


class Confidence(MaskedSampler):
    """Keeps the likeliest of the codes drawn (arXiv 2202.04200), with noise that fades.

    Likely codes first means likelier maps than the prior's own distribution has; noise undoes it.

    Args:
        steps: see `MaskedSampler`.
        noise: scale of the Gumbel noise on log-probabilities at the first step; it falls linearly to none. 0 keeps the
            likeliest of all, and samples are alike; a large number keeps random positions.
    """

    def __init__(self, steps: int = DEFAULT_STEPS, noise: float = 4.5) -> None:
        super().__init__(steps)
        if noise < 0:
            raise ValueError(f"noise={noise} must be at least 0")
        self.noise = noise

    def score(
        self, log_prob: Float[Tensor, "b h w"], uniform: Float[Tensor, "b h w"], step: int
    ) -> Float[Tensor, "b h w"]:
        """Log-probability and noise."""
        gumbel = -(-uniform.clamp(min=1e-12).log()).log()
        return log_prob + self.noise * (1 - (step + 1) / self.steps) * gumbel


class Halton(MaskedSampler):
    """Keeps positions in the order of a Halton sequence, which are far from each other (arXiv 2503.17076).

    Neighbours, which depend on each other most, are drawn in different steps; the order does not look at the codes.
    """

    def score(
        self, log_prob: Float[Tensor, "b h w"], uniform: Float[Tensor, "b h w"], step: int
    ) -> Float[Tensor, "b h w"]:
        """The earlier in the sequence, the higher."""
        order = torch.as_tensor(halton_order(log_prob.shape[1:]), device=log_prob.device)
        return -order.to(log_prob.dtype).expand_as(log_prob)


def halton_order(grid: Sequence[int]) -> Int[np.ndarray, "h w"]:
    """When the Halton sequence of bases 2 and 3 comes to each cell of a grid first, as numbers from 0.

    A Halton number of base p is n written in base p and mirrored at the point: 1/2, 1/4, 3/4, 1/8, ... for base 2.
    """
    height, width = grid
    cells = np.zeros(0, dtype=int)
    points = 4 * height * width
    while len(cells) < height * width:
        n = np.arange(1, points + 1)
        cells = (_mirrored(n, 2) * height).astype(int) * width + (_mirrored(n, 3) * width).astype(int)
        found, first = np.unique(cells, return_index=True)
        cells, points = found[first.argsort()], 2 * points
    order = np.empty(height * width, dtype=int)
    order[cells] = np.arange(height * width)
    return order.reshape(height, width)


def _mirrored(n: Int[np.ndarray, " n"], base: int) -> Float[np.ndarray, " n"]:
    """The digits of n in this base, the last as the first after the point."""
    fraction, share = np.zeros(len(n)), 1.0
    while n.any():
        share /= base
        fraction += share * (n % base)
        n = n // base
    return fraction
