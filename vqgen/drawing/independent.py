"""Drawing all positions at once, where none depends on another."""

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.sampler import Draw


class Independent:
    """Draws every position from one call: exact for the scales of a next-scale prior, and for no other network."""

    def __call__(self, model: ConditionedNetwork, draw: Draw) -> Int[Tensor, "b h w"]:
        """Maps drawn from the model, the same that `Raster` draws."""
        uniforms = next(draw.uniforms(model.device))
        nothing = torch.zeros(uniforms.shape, dtype=torch.long, device=model.device)
        logits = model.logits(nothing).permute(0, 2, 3, 1).flatten(0, 2)
        return draw.keep(draw.sampling.draw(logits, uniforms.flatten()[:, None]).view_as(nothing))
