"""What the causal networks of this package share: a codebook's size and the channels of a condition map."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn


class AutoregressiveNetwork(nn.Module, ABC):
    """p(map) as a product, in raster order, over p(code given the codes before it and the condition).

    Every module with such a `forward` serves as the network of a prior; this base adds the check of the condition.

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
        """Logits at every position, from the codes at earlier positions only.

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


def as_map(vectors: Float[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
    """Vectors of positions as a map of channels."""
    return vectors.permute(0, 3, 1, 2)
