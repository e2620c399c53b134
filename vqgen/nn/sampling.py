"""Drawing maps of codes from an autoregressive prior, one position after another."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from vqgen.nn.stepwise.incremental import Incremental


class Known(NamedTuple):
    """Codes to keep: where `mask` is true, the map has the code of `codes`; elsewhere it is drawn."""

    mask: Bool[Tensor, "b h w"]
    codes: Int[Tensor, "b h w"]


def sample_seeds(
    seed: int, indices: Sequence[int], level: int = 0, purpose: str = "codes"
) -> list[np.random.SeedSequence]:
    """One seed for each sample of a run: sample ``i`` has the same whatever else is drawn beside it.

    No two of (purpose, seed, level, index) have a stream of random numbers in common.
    """
    key = (crc32(purpose.encode()), level)
    return [np.random.SeedSequence(seed, spawn_key=(*key, i)) for i in indices]


def restrict(logits: Float[Tensor, "b k"], top_k: int | None, top_p: float | None) -> Float[Tensor, "b k"]:
    """Logits with all but the likeliest codes at minus infinity.

    Args:
        logits: already divided by the temperature.
        top_k: how many codes may be drawn; None for all.
        top_p: keep the fewest likeliest codes whose probabilities reach this sum; None for all.
    """
    if top_k is not None and top_k < logits.shape[1]:
        kept = logits.topk(top_k, dim=1)
        logits = torch.full_like(logits, -torch.inf).scatter_(1, kept.indices, kept.values)
    if top_p is not None and top_p < 1:
        sorted_logits, order = logits.sort(dim=1, descending=True)
        probabilities = sorted_logits.softmax(1)
        likelier = probabilities.cumsum(1) - probabilities
        drop = torch.empty_like(likelier, dtype=torch.bool).scatter_(1, order, likelier >= top_p)
        logits = logits.masked_fill(drop, -torch.inf)
    return logits


def draw(logits: Float[Tensor, "b k"], uniform: Float[Tensor, "b 1"]) -> Int[Tensor, " b"]:
    """The code at which the cumulative probability passes `uniform`, a number in [0, 1)."""
    cumulative = logits.softmax(1).cumsum(1, dtype=uniform.dtype)
    drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).squeeze(1)
    return drawn.clamp_(max=logits.shape[1] - 1)


class Guided:
    """Two evaluations of a network in one batch, with and without the label."""

    def __init__(self, state: Incremental, guidance: float):
        self.state, self.guidance = state, guidance

    def logits(self) -> Float[Tensor, "b k"]:
        """Logits moved away from those without the label (arXiv 2207.12598, eq. 6)."""
        conditional, unconditional = self.state.logits().chunk(2)
        return torch.lerp(unconditional, conditional, self.guidance)

    def push(self, codes: Int[Tensor, " b"]) -> None:
        """Both go on with the same codes."""
        self.state.push(codes.repeat(2))


@torch.no_grad()
def sample_codes(
    network: Any,
    grid: Sequence[int],
    num_samples: int,
    condition: Float[Tensor, "_ e _ _"] | None = None,
    *,
    unconditional: Float[Tensor, "_ e _ _"] | None = None,
    guidance: float = 1.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    known: Known | None = None,
    seeds: Sequence[int | np.random.SeedSequence] | None = None,
    progress: bool = False,
) -> Int[Tensor, "b h w"]:
    """Maps of codes drawn from `network`, each position's activations computed once.

    Args:
        network: a `vqgen.nn.priors.AutoregressiveNetwork`, in evaluation mode.
        grid: height and width of the map.
        num_samples: maps to draw together.
        condition: the condition map of each sample, as `network` takes it.
        unconditional: the condition map without label; needed where `guidance` is not 1.
        guidance: logits are ``unconditional + guidance * (conditional - unconditional)`` (classifier-free
            guidance, arXiv 2207.12598); 1 is none, above 1 is truer to the label.
        temperature: logits are divided by it; above 0, below 1 draws the likelier codes more often.
        top_k, top_p: see `restrict`.
        known: codes to keep; None draws the whole map.
        seeds: one for each sample (see `sample_seeds`), whose map depends on no other sample but for the rounding of
            logits. None: from torch's generator.
        progress: show a bar of rows with the time left.
    """
    _check(network, temperature, top_k, top_p)
    height, width = grid
    device = next(network.parameters()).device
    precise = torch.float32 if device.type == "mps" else torch.float64
    uniforms = _uniforms(seeds, num_samples, height * width).to(device, precise).split(1, dim=1)
    with torch.inference_mode():
        state = _start(network, grid, num_samples, condition, unconditional, guidance)
        codes = []
        for row in tqdm(range(height), desc="rows", disable=not progress, leave=False):
            for column in range(width):
                logits = state.logits() if temperature == 1 else state.logits() / temperature
                drawn = draw(restrict(logits, top_k, top_p), uniforms[row * width + column])
                if known is not None:
                    drawn = torch.where(known.mask[:, row, column], known.codes[:, row, column], drawn)
                state.push(drawn)
                codes.append(drawn)
    return torch.stack(codes, dim=1).view(num_samples, *grid)


def _start(
    network: Any,
    grid: Sequence[int],
    num_samples: int,
    condition: Tensor | None,
    unconditional: Tensor | None,
    guidance: float,
) -> Incremental | Guided:
    """The network before the first position, guided where `guidance` is not 1."""
    if guidance == 1:
        return network.start(num_samples, grid, condition)
    if condition is None or unconditional is None:
        raise ValueError(f"guidance={guidance} needs a prior with labels: give condition and unconditional.")
    both = (x.expand(num_samples, -1, -1, -1) for x in (condition, unconditional))
    return Guided(network.start(2 * num_samples, grid, torch.cat([*both])), guidance)


def _uniforms(
    seeds: Sequence[int | np.random.SeedSequence] | None, num_samples: int, num_positions: int
) -> Float[Tensor, "b t"]:
    """Numbers in [0, 1) from one stream per sample; without seeds the default generator gives the seeds."""
    if seeds is None:
        seeds = torch.randint(2**62, (num_samples,)).tolist()
    if len(seeds) != num_samples:
        raise ValueError(f"seeds has {len(seeds)} entries, num_samples={num_samples}: give one per sample.")
    return torch.from_numpy(np.stack([np.random.default_rng(seed).random(num_positions) for seed in seeds]))


def _check(network: Any, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ValueError for settings with which nothing could be drawn."""
    if network.training:
        raise ValueError("the network is in training mode, dropout would act: call its eval() first.")
    if temperature <= 0:
        raise ValueError(f"temperature={temperature} must be above 0; top_k=1 takes the likeliest code.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} leaves no code to draw: give at least 1, or None for all.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} is no share of the probability: give a number in (0, 1], or None.")
