"""Small priors of every kind, as the tests of this folder use them."""

from collections.abc import Callable

import torch
from torch import nn

from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.priors.rq_transformer import RQTransformer
from vqgen.nn.priors.transformer import Transformer

CONDITION_CHANNELS = 5

BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "pixelcnn": lambda k, e: PixelCNN(k, e, hidden_channels=8),
    "gated_pixelcnn": lambda k, e: GatedPixelCNN(k, e, hidden_channels=8, num_layers=3, output_channels=8),
    "pixelsnail": lambda k, e: PixelSNAIL(k, e, 8, 6, 3, 4, 2, 2, 4, dropout=0.0),
    "transformer": lambda k, e: Transformer(k, e, 16, 2, 2, dropout=0.0),
    "rq_transformer": lambda k, e: RQTransformer(k, e, 1, 1, 16, 2, 2, dropout=0.0),
    "pixelsnail_without_attention": lambda k, e: PixelSNAIL(k, e, 8, 6, 3, 4, 0, dropout=0.0),
}


def build(name: str, num_embeddings: int = 6, condition_channels: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return BUILDERS[name](num_embeddings, condition_channels).double().eval()


def condition_map(kind: str, batch: int, grid: tuple[int, int]) -> torch.Tensor | None:
    """A random condition: of the whole grid, of a label only, or none."""
    if kind == "none":
        return None
    size = grid if kind == "map" else (1, 1)
    return torch.randn(batch, CONDITION_CHANNELS, *size, dtype=torch.float64)


@torch.no_grad()
def hears(network: nn.Module, grid: tuple[int, int], condition: torch.Tensor | None = None) -> torch.Tensor:
    """Whether the logits at position i (row) change at all with the code at position j (column), in float64."""
    codes = torch.randint(network.num_embeddings, (1, *grid))
    logits, rows = network(codes, condition).flatten(2), []
    for j in range(codes.numel()):
        other = codes.flatten().clone()
        other[j] = (other[j] + 1) % network.num_embeddings
        changed = network(other.view_as(codes), condition).flatten(2)
        rows.append((changed != logits).any(1)[0])
    return torch.stack(rows, dim=1)


def assert_no_blind_spot(network: nn.Module, grid: tuple[int, int]) -> None:
    """The logits of every position hear all codes before it."""
    missing = hears(network, grid).logical_not().tril(-1)
    assert not missing.any(), f"(position, not heard): {missing.nonzero().tolist()}"
