"""What the networks of priors share, and the two kinds of them: causal, and of masked maps."""

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.precision import at_least_float32


class CodeNetwork(nn.Module, ABC):
    """Logits of the codes of a map, under a condition.

    Args:
        num_embeddings: size K of the codebook.
        condition_channels: channels of the condition map (see `vqgen.nn.priors.Conditioner`); 0 for none.
    """

    def __init__(self, num_embeddings: int, condition_channels: int):
        super().__init__()
        self.num_embeddings, self.condition_channels = num_embeddings, condition_channels

    @abstractmethod
    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position.

        The condition is of each position, or 1x1 for all of them, and of each sample, or one for all.
        """

    def check_condition(self, condition: Float[Tensor, "_ e _ _"] | None) -> None:
        """Raise ValueError where the condition's channels are not those the network was built with."""
        given = 0 if condition is None else condition.shape[1]
        if given != self.condition_channels:
            raise ValueError(
                f"condition has {given} channels, but the network was built with "
                f"condition_channels={self.condition_channels}: give the map its Conditioner makes."
            )


class AutoregressiveNetwork(CodeNetwork):
    """p(map) as a product, in raster order, over p(code given the codes before it and the condition).

    Any module with such a `forward` serves as the network of a prior; this base adds the check of the condition.
    """


class MaskedNetwork(CodeNetwork):
    """p(code given those that are not masked and the condition), at every position at once."""

    @property
    def mask_code(self) -> int:
        """What stands for a code that is masked: the number after the last."""
        return self.num_embeddings


@runtime_checkable
class Layered(Protocol):
    """A network that may be trained in parts on several devices (`hardware=fsdp`)."""

    def separate_layers(self) -> list[nn.Module]:
        """What holds nearly all weights: modules that are called one after another, whose weights no other reads."""


def code_nats(logits: Float[Tensor, "b k h w"], codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Negative log-likelihood of each code in nats, given logits.

    Of rows, not of maps: CUDA has no deterministic kernel for maps, and the logits of a transformer lie in rows.
    """
    rows = at_least_float32(logits.movedim(1, 3).flatten(0, 2))
    return F.cross_entropy(rows, codes.flatten(), reduction="none").view_as(codes)


def as_map(vectors: Float[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
    """Vectors of positions as a map of channels."""
    return vectors.permute(0, 3, 1, 2)
