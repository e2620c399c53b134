"""What every prior network is: logits of each code given the codes before it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.nn.stepwise.incremental import Incremental


class AutoregressiveNetwork(nn.Module, ABC):
    """p(map) as a product, in raster order, over p(code given the codes before it and the condition).

    Args:
        num_embeddings: size K of the codebook.
        condition_channels: channels of the condition map, which a `vqgen.nn.priors.Conditioner` makes; 0 for
            a prior without condition.
    """

    def __init__(self, num_embeddings: int, condition_channels: int):
        super().__init__()
        self.num_embeddings, self.condition_channels = num_embeddings, condition_channels

    def forward(
        self, codes: Int[Tensor, "b h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """Logits at every position, from the codes at earlier positions only.

        Args:
            codes: the map.
            condition: of each position, or 1x1 for all of them; of each sample, or one for all.
        """
        return self.logits(self.embed(codes), condition)

    @abstractmethod
    def embed(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
        """The vectors that stand for the codes."""

    @abstractmethod
    def logits(
        self, embedded: Float[Tensor, "b c h w"], condition: Float[Tensor, "#b e #h #w"] | None = None
    ) -> Float[Tensor, "b k h w"]:
        """What `forward` computes, from embedded codes."""

    @abstractmethod
    def start(
        self, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None = None
    ) -> Incremental:
        """The state before the first position, for evaluation one code after another, without gradients."""

    def check_condition(self, condition: Float[Tensor, "_ e _ _"] | None) -> None:
        """Raise ValueError where the condition's channels are not those the network was built with."""
        given = 0 if condition is None else condition.shape[1]
        if given != self.condition_channels:
            raise ValueError(
                f"condition has {given} channels, but the network was built with "
                f"condition_channels={self.condition_channels}: give the map its Conditioner makes."
            )
