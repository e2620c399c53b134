"""Drawing all positions at once, again and again, until the map no longer changes."""

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.sampler import Draw


class FixedPoint:
    """Fixed-point iteration on the whole map (arXiv 2002.09928): the maps of `Raster`, in fewer calls of the network.

    The random number of every position is fixed, and the map is drawn anew from the logits of the last guess until it
    no longer changes. After n calls the first n positions are right, so that it ends, and much earlier on maps that the
    prior is sure of. Up to the rounding of logits the maps are those of `Raster`. `calls` is the number of the last
    draw.
    """

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, model: ConditionedNetwork, draw: Draw) -> Int[Tensor, "b h w"]:
        """Maps drawn from the model."""
        uniforms = next(draw.uniforms(model.device))
        codes = draw.keep(torch.zeros(uniforms.shape, dtype=torch.long, device=model.device))
        length = draw.grid[0] * draw.grid[1]
        for self.calls in tqdm(range(1, length + 1), desc="passes", disable=not draw.progress, leave=False):
            logits = model.logits(codes).permute(0, 2, 3, 1).flatten(0, 2)
            drawn = draw.keep(draw.sampling.draw(logits, uniforms.flatten()[:, None]).view_as(codes))
            if torch.equal(drawn, codes):
                break
            codes = drawn
        return codes
