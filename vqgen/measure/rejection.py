"""Keeping the samples that a classifier is surest of (arXiv 1906.00446, section 3.4)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.measure.metrics.precision_recall import precision_recall

NUM_DRAWS = 5  # random choices that a point of the curve is averaged over


class TradeOff(NamedTuple):
    """`precision` and `recall` for each part `kept` of the samples, each measured on `number` of them."""

    kept: list[float]
    precision: list[float]
    recall: list[float]
    number: int


def kept(scores: Float[Tensor, " n"], classes: Int[Tensor, " n"], part: float) -> Bool[Tensor, " n"]:
    """Which samples are among the best `part` (in (0, 1]) of their class, by the highest scores; at least one of each.

    Each class keeps the same part, so that hard classes do not die out.
    """
    mask = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    for number in classes.unique():
        members = (classes == number).nonzero()[:, 0]
        count = max(1, round(part * len(members)))
        mask[members[scores[members].argsort(descending=True)[:count]]] = True
    return mask


def directions(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Feature vectors at length 1.

    The length of a feature vector is the classifier's certainty, by which the samples were chosen: those it is surest
    of lie at the rim of the real ones, and would count as far from them for that alone.
    """
    return torch.nn.functional.normalize(vectors, dim=1)


def trade_off(
    real: Float[Tensor, "n d"],
    generated: Float[Tensor, "m d"],
    scores: Float[Tensor, " m"],
    classes: Int[Tensor, " m"],
    parts: list[float],
) -> TradeOff:
    """Precision and recall of what is left when only a part of the samples is kept.

    Recall falls with the number of samples alone, so each point is measured on the same number of them: as many as are
    kept at the smallest part, chosen at random from what is kept, and averaged over several choices.
    """
    generator = torch.Generator().manual_seed(0)
    number = int(kept(scores, classes, min(parts)).sum())
    precision, recall = [], []
    for part in parts:
        members = kept(scores, classes, part).nonzero()[:, 0].cpu()
        choices = [members[torch.randperm(len(members), generator=generator)[:number]] for _ in range(NUM_DRAWS)]
        found = [precision_recall(real, generated[choice]) for choice in choices]
        precision.append(float(torch.stack([each.precision for each in found]).mean()))
        recall.append(float(torch.stack([each.recall for each in found]).mean()))
    return TradeOff(parts, precision, recall, number)
