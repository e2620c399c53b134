"""Drawing codes from logits: settings, known codes and seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.errors import UserError, near_miss

T = TypeVar("T")

GuidanceSchedule = Callable[[float], float]
"""The weight of guidance, from the share of a map that is drawn already, 0 to 1 (see `vqgen.drawing.guidance`)."""

Guidance = float | GuidanceSchedule

PRECISIONS = ("float32", "bfloat16")


def _each(value: T | list[T]) -> list[T]:
    return value if isinstance(value, list) else [value]


def _of(value: T | list[T], level: int) -> T:
    return value[level] if isinstance(value, list) else value


@dataclass(frozen=True)
class Sampling:
    """The settings of a draw, from the command line to the last code. The defaults change nothing.

    Each but the seed is one value for all levels, or a list of one for each, top first (see `of_levels`).

    Args:
        temperature: divides the logits; below 1 likelier and less varied, 1 as learnt.
        top_k: draw among the k likeliest codes only; None among all.
        top_p: draw among the fewest likeliest codes that together have this probability; None among all.
        guidance: weight of classifier-free guidance (arXiv 2207.12598), or a schedule of it: logits are
            ``unconditional + guidance * (conditional - unconditional)``; 1 is none, 1.5 to 4 is truer to the label and
            less varied.
        seed: sample i of a level is a function of (seed, level, i), whatever the number of samples, up to the rounding
            of logits: where a draw falls on the last bits of a boundary, another number, device or processor draws
            another code.
        min_p: draw among the codes of at least this share of the likeliest one's probability (arXiv 2407.01082), 0.05
            to 0.1; None among all.
        precision: of the weights that are drawn from, `float32`, as they are trained, or `bfloat16`, of half the bytes.
            It is a prior's `sample` that casts them; likelihoods are those of the weights as they are trained.
    """

    temperature: float | list[float] = 1.0
    top_k: int | list[int | None] | None = None
    top_p: float | list[float | None] | None = None
    guidance: float | GuidanceSchedule | list[float] | list[GuidanceSchedule] = 1.0
    seed: int = 0
    min_p: float | list[float | None] | None = None
    precision: str | list[str] = "float32"

    def __post_init__(self) -> None:
        """Raise ValueError for settings that nothing can be drawn with."""
        for temperature in _each(self.temperature):
            if temperature <= 0:
                raise ValueError(f"temperature={temperature} must be above 0; top_k=1 takes the likeliest code.")
        for top_k in _each(self.top_k):
            if top_k is not None and top_k < 1:
                raise ValueError(f"top_k={top_k} leaves no code to draw: give at least 1, or None for all.")
        for top_p in _each(self.top_p):
            if top_p is not None and not 0 < top_p <= 1:
                raise ValueError(f"top_p={top_p} is no share of the probability: give a number in (0, 1], or None.")
        for min_p in _each(self.min_p):
            if min_p is not None and not 0 <= min_p <= 1:
                raise ValueError(f"min_p={min_p} is no share of the likeliest: give a number in [0, 1], or None.")
        for precision in _each(self.precision):
            if precision not in PRECISIONS:
                raise ValueError(f"precision={precision} is no type of weights{near_miss(precision, PRECISIONS)}")

    def changed(self) -> dict[str, object]:
        """The settings that are not those of `Sampling()`, by name; the seed is none of them."""
        return {name: value for name, value in self.settings().items() if value != getattr(NEUTRAL, name)}

    def settings(self) -> dict[str, object]:
        """The settings by name, without the seed."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "seed"}

    def of_levels(self, levels: Sequence[str]) -> list["Sampling"]:
        """The settings of each level; UserError for a list of another length, or settings without levels."""
        for name, value in self.changed().items():
            if not levels:
                raise UserError(f"{name}={value}: this is an option of priors; a VAE draws z ~ N(0, I). Leave it out")
            if isinstance(value, list) and len(value) != len(levels):
                raise UserError(f"{name}={value}: give one value, or one for each of the levels {', '.join(levels)}")
        guidance = self.guidance if isinstance(self.guidance, list) else [self.guidance] * len(levels)
        return [
            Sampling(
                _of(self.temperature, i),
                _of(self.top_k, i),
                _of(self.top_p, i),
                each,
                self.seed,
                _of(self.min_p, i),
                _of(self.precision, i),
            )
            for i, each in enumerate(guidance)
        ]

    def draw(self, logits: Float[Tensor, "n k"], uniform: Float[Tensor, "n 1"]) -> Int[Tensor, " n"]:
        """Codes drawn from logits, each by a number in [0, 1); the settings are those of one level."""
        assert not isinstance(self.temperature, list)
        assert not isinstance(self.top_k, list)
        assert not isinstance(self.top_p, list)
        assert not isinstance(self.min_p, list)
        scaled = logits if self.temperature == 1 else logits / self.temperature
        return draw(restrict(scaled, self.top_k, self.top_p, self.min_p), uniform)


NEUTRAL = Sampling()


class KnownCodes(NamedTuple):
    """Codes to keep: where `mask` is true, the map has the code of `codes`; elsewhere it is drawn."""

    mask: Bool[Tensor, "b h w"]
    codes: Int[Tensor, "b h w"]


Seed = int | np.random.SeedSequence


def sample_seeds(
    seed: int, indices: Sequence[int], level: int = 0, purpose: str = "codes"
) -> list[np.random.SeedSequence]:
    """One seed for each sample of a run: sample ``i`` has the same whatever else is drawn beside it.

    No two of (purpose, seed, level, index) have a stream of random numbers in common.
    """
    key = (crc32(purpose.encode()), level)
    return [np.random.SeedSequence(seed, spawn_key=(*key, i)) for i in indices]


def restrict(
    logits: Float[Tensor, "b k"], top_k: int | None = None, top_p: float | None = None, min_p: float | None = None
) -> Float[Tensor, "b k"]:
    """Logits, divided by the temperature before, with all but the likeliest codes at minus infinity.

    Kept are the `top_k` likeliest, of these the fewest whose probabilities reach the sum `top_p`, and of these all that
    have at least the share `min_p` of the likeliest one's probability; None keeps all.
    """
    if top_k is not None and top_k < logits.shape[1]:
        kept = logits.topk(top_k, dim=1)
        logits = torch.full_like(logits, -torch.inf).scatter_(1, kept.indices, kept.values)
    if top_p is not None and top_p < 1:
        sorted_logits, order = logits.sort(dim=1, descending=True)
        probabilities = sorted_logits.softmax(1)
        likelier = cumulated(probabilities, probabilities.dtype) - probabilities
        drop = torch.empty_like(likelier, dtype=torch.bool).scatter_(1, order, likelier >= top_p)
        logits = logits.masked_fill(drop, -torch.inf)
    if min_p:
        logits = logits.masked_fill(logits < logits.amax(1, keepdim=True) + math.log(min_p), -torch.inf)
    return logits


def draw(logits: Float[Tensor, "b k"], uniform: Float[Tensor, "b 1"]) -> Int[Tensor, " b"]:
    """The code at which the cumulative probability passes `uniform`, a number in [0, 1)."""
    cumulative = cumulated(logits.softmax(1), uniform.dtype)
    drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).squeeze(1)
    return drawn.clamp_(max=logits.shape[1] - 1)


def cumulated(probabilities: Float[Tensor, "b k"], dtype: torch.dtype) -> Float[Tensor, "b k"]:
    """Sums of the probabilities so far.

    Where deterministic algorithms are asked for, of multiples of 2^-40, as integers: CUDA adds numbers of a scan in an
    order of its own.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return probabilities.cumsum(1, dtype=dtype)
    return (probabilities.float() * 2**40).long().cumsum(1).to(dtype) / 2**40
