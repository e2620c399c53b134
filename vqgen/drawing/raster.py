"""Drawing one position after another, row by row."""

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.sampler import Draw


class Raster:
    """Draws the positions in raster order, each from the logits given all before it (arXiv 1601.06759, section 2)."""

    def __call__(self, model: ConditionedNetwork, draw: Draw) -> Int[Tensor, "b h w"]:
        """Maps drawn from the model; each position's activations are computed once, where the network has a twin."""
        height, width = draw.grid
        uniforms = next(draw.uniforms(model.device)).flatten(1).split(1, dim=1)
        state = model.begin(len(draw.seeds), draw.grid)
        codes = []
        for row in tqdm(range(height), desc="rows", disable=not draw.progress, leave=False):
            for column in range(width):
                drawn = draw.sampling.draw(state.logits(), uniforms[row * width + column])
                if draw.known is not None:
                    drawn = torch.where(draw.known.mask[:, row, column], draw.known.codes[:, row, column], drawn)
                state.push(drawn)
                codes.append(drawn)
        return torch.stack(codes, dim=1).view(-1, height, width)
