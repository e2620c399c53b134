"""Drawing maps of codes from an autoregressive prior, one position after another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm import tqdm


class Known(NamedTuple):
    """Codes to keep: where `mask` is true, the map has the code of `codes`; elsewhere it is drawn."""

    mask: Bool[Tensor, "b h w"]
    codes: Int[Tensor, "b h w"]


def sample_seeds(seed: int, indices: Sequence[int]) -> list[int]:
    """One seed for each sample of a run: sample ``i`` has the same whatever else is drawn beside it."""
    return [int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] >> 1) for i in indices]


def _uniforms(seeds: Sequence[int] | None, num_samples: int, num_positions: int) -> Float[Tensor, "b t"]:
    """Numbers in [0, 1) from one stream per sample; without seeds the default generator gives the seeds."""
    if seeds is None:
        seeds = torch.randint(2**62, (num_samples,)).tolist()
    if len(seeds) != num_samples:
        raise ValueError(f"seeds has {len(seeds)} entries, num_samples={num_samples}: give one per sample.")
    streams = (torch.Generator().manual_seed(int(seed)) for seed in seeds)
    return torch.stack([torch.rand(num_positions, generator=s, dtype=torch.float64) for s in streams])


def restrict(logits: Float[Tensor, "b k"], top_k: int | None, top_p: float | None) -> Float[Tensor, "b k"]:
    """Logits with all but the likeliest codes at minus infinity.

    Args:
        logits: already divided by the temperature.
        top_k: how many codes may be drawn; None for all.
        top_p: keep the fewest likeliest codes whose probabilities reach this sum; None for all.
    """
    if top_k is not None and top_k < logits.shape[1]:
        smallest = logits.topk(top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if top_p is not None and top_p < 1:
        sorted_logits, order = logits.sort(dim=1, descending=True)
        probabilities = sorted_logits.softmax(1)
        before = probabilities.cumsum(1) - probabilities
        drop = torch.empty_like(before, dtype=torch.bool).scatter_(1, order, before >= top_p)
        logits = logits.masked_fill(drop, -torch.inf)
    return logits


def draw(logits: Float[Tensor, "b k"], uniform: Float[Tensor, " b"]) -> Int[Tensor, " b"]:
    """The code at which the cumulative probability passes `uniform`."""
    cumulative = logits.double().softmax(1).cumsum(1)
    threshold = uniform.unsqueeze(1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(1).clamp_(max=logits.shape[1] - 1)


@torch.no_grad()
def sample_codes(
    network: nn.Module,
    grid: Sequence[int],
    num_samples: int,
    condition: Float[Tensor, "b e _ _"] | None = None,
    *,
    unconditional: Float[Tensor, "b e _ _"] | None = None,
    guidance: float = 1.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    known: Known | None = None,
    seeds: Sequence[int] | None = None,
    progress: bool = False,
) -> Int[Tensor, "b h w"]:
    """Maps of codes drawn from `network`, row by row.

    Args:
        network: a prior network, in evaluation mode.
        grid: height and width of the map.
        num_samples: maps to draw together.
        condition: the condition map of each sample, as `network` takes it.
        unconditional: the condition map without label, for classifier-free guidance.
        guidance: logits are ``unconditional + guidance * (conditional - unconditional)``; 1 is no guidance.
        temperature: logits are divided by it; below 1 draws the likelier codes more often; above 0.
        top_k, top_p: see `restrict`.
        known: codes to keep; None draws the whole map.
        seeds: one for each sample: its map depends on no other sample's. None: from torch's generator.
        progress: show a bar of rows with the time left.
    """
    height, width = grid
    device = next(network.parameters()).device
    uniforms = _uniforms(seeds, num_samples, height * width).to(device).unflatten(1, (height, width))
    codes = torch.zeros(num_samples, height, width, dtype=torch.long, device=device)
    for row in tqdm(range(height), desc="rows", disable=not progress, leave=False):
        for column in range(width):
            logits = network(codes[:, : row + 1], condition)[:, :, row, column]
            drawn = draw(restrict(logits / temperature, top_k, top_p), uniforms[:, row, column])
            if known is not None:
                drawn = torch.where(known.mask[:, row, column], known.codes[:, row, column], drawn)
            codes[:, row, column] = drawn
    return codes
