"""The interface of samplers, and their input."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.sampling import KnownCodes, Sampling, Seed


class Draw(NamedTuple):
    """The input of a sampler.

    `grid` is the height and width of a map, `seeds` are one for each sample, whose map depends on no other sample but
    for the rounding of logits, `sampling` are the settings of this level, `known` the codes to keep (None draws whole
    maps), and `progress` asks for a bar.
    """

    grid: tuple[int, int]
    seeds: Sequence[Seed]
    sampling: Sampling = Sampling()
    known: KnownCodes | None = None
    progress: bool = False

    def uniforms(self, device: torch.device) -> Iterator[Float[Tensor, "b h w"]]:
        """Maps of numbers in [0, 1), as many as are asked for, from one stream of random numbers for each sample."""
        streams = [np.random.default_rng(seed) for seed in self.seeds]
        precise = torch.float32 if device.type == "mps" else torch.float64
        while True:
            numbers = [stream.random(self.grid) for stream in streams]
            yield torch.from_numpy(np.stack(numbers)).to(device, precise)

    def keep(self, drawn: Int[Tensor, "b h w"]) -> Int[Tensor, "b h w"]:
        """The maps, with the known codes in place."""
        return drawn if self.known is None else torch.where(self.known.mask, self.known.codes, drawn)


@runtime_checkable
class Sampler(Protocol):
    """A way to draw maps of codes: a class of its own file, called without gradients."""

    def __call__(self, model: ConditionedNetwork, draw: Draw) -> Int[Tensor, "b h w"]:
        """Maps drawn from the model, one for each seed, with all codes that are known."""
        ...
