"""How much of a codebook is in use, over a whole split."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics import Metric


class Usage(NamedTuple):
    """Of a code histogram: exp of its entropy, and the part of the codes that occur."""

    perplexity: Float[Tensor, ""]
    codebook_usage: Float[Tensor, ""]


def usage(counts: Int[Tensor, " k"]) -> Usage:
    """Perplexity (1 to K) and usage (0 to 1) of code counts."""
    n = counts.cpu().double()  # a GPU of Apple has no float64
    p = n / n.sum().clamp(min=1)
    entropy = -torch.special.xlogy(p, p).sum()
    return Usage(entropy.exp().float().to(counts.device), (counts > 0).float().mean())


class CodebookUsage(Metric):
    """Counts the codes of a split, over all its batches and ranks; computes `Usage`.

    Args:
        num_embeddings: size K of the codebook.
        sync_on_compute: add the counts of all ranks in `compute`.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_embeddings: int, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.num_embeddings = num_embeddings
        self.add_state("counts", torch.zeros(num_embeddings, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, codes: Int[Tensor, "b h w"]) -> None:
        """Count the codes of a batch."""
        self.counts.index_add_(0, codes.flatten(), torch.ones_like(codes).flatten())

    def compute(self) -> Usage:
        """Perplexity and usage of all codes counted."""
        return usage(self.counts)


def counters(module: nn.Module) -> list[CodebookUsage]:
    """The counters of codes in a module, in order."""
    return [part for part in module.modules() if isinstance(part, CodebookUsage)]
