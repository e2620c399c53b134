"""Whether a network is a prior's: logits of each code from the codes before it alone."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.environment.compat import is_compiled

TOLERANCE = 1e-4
"""Of the largest logit: what rounding may change."""


@torch.no_grad()
def check_causal(
    network: nn.Module, codes: Int[Tensor, "1 h w"], num_embeddings: int, condition: Float[Tensor, "_ e _ _"] | None
) -> None:
    """Raise ValueError unless logits have the shape of logits, and keep when the code at their position changes.

    A network that sees the code that it is to predict learns to copy it, and its likelihood is none. One code in the
    middle of a map is changed: the logits up to and with its position must stay. The network is in evaluation mode.
    """
    name, middle = type(network).__name__, codes.numel() // 2
    other = codes.clone()
    other.view(-1)[middle] = (other.view(-1)[middle] + 1) % num_embeddings
    forward = network.forward if is_compiled(network) else network  # it is not compiled for one map
    logits, changed = (forward(one, condition) for one in (codes, other))
    expected = (1, num_embeddings, *codes.shape[1:])
    if tuple(logits.shape) != expected:
        raise ValueError(f"model.network: {name} gives logits of {list(logits.shape)}, and b k h w is {list(expected)}")
    difference = (logits - changed).abs().amax(1).flatten()[: middle + 1].max()
    if difference > TOLERANCE * logits.abs().max():
        raise ValueError(
            f"model.network: {name} sees the code that it is to predict, or a later one: logits up to position "
            f"{middle} change with the code there; shift its input by one position"
        )
