"""What a prior is conditioned on: upper levels' codes and the class label, merged into one feature map."""

from jaxtyping import Float
from torch import Tensor, nn


def check_condition(condition_channels: int, condition: Float[Tensor, "b e h w"] | None) -> None:
    """Raise ValueError where the condition's channels are not those the network was built with."""
    given = 0 if condition is None else condition.shape[1]
    if given != condition_channels:
        raise ValueError(
            f"condition has {given} channels, but the network was built with "
            f"condition_channels={condition_channels}: give the map its Conditioner makes."
        )


class Injection(nn.Module):
    """Adds a 1x1 projection of the condition map to features; with 0 channels it is the identity."""

    def __init__(self, condition_channels: int, channels: int):
        super().__init__()
        self.project = nn.Conv2d(condition_channels, channels, 1, bias=False) if condition_channels else None

    def forward(
        self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b e #h #w"] | None
    ) -> Float[Tensor, "b c h w"]:
        """Features with the condition's part added; a 1x1 condition is spread over the map."""
        return x if self.project is None else x + self.project(condition)
