"""Small priors of every kind, as the tests of this folder use them."""

from collections.abc import Callable

import torch
from torch import nn

from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL

CONDITION_CHANNELS = 5

BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "pixelcnn": lambda k, e: PixelCNN(k, e, hidden_channels=8),
    "gated_pixelcnn": lambda k, e: GatedPixelCNN(k, e, hidden_channels=8, num_layers=3, output_channels=8),
    "pixelsnail": lambda k, e: PixelSNAIL(k, e, 8, 6, 3, 4, 2, 2, 4, dropout=0.0),
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


def assert_no_blind_spot(network: nn.Module, grid: tuple[int, int]) -> None:
    """By the gradient: the logits of every position of the last row, and of the first of every row, hear all before."""
    codes = torch.randint(network.num_embeddings, (1, *grid))
    embedded = network.embed(codes).detach().requires_grad_()
    logits = network.logits(embedded).flatten(2)
    height, width = grid
    for i in {*range(width, height * width, width), *range((height - 1) * width, height * width)}:
        (gradient,) = torch.autograd.grad(logits[0, :, i].square().sum(), embedded, retain_graph=True)
        seen = gradient.flatten(2)[0].abs().amax(0) > 0
        assert seen[:i].all(), f"position {i} does not see {(~seen[:i]).nonzero().flatten().tolist()}"
