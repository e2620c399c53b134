"""Real images and generated ones, batch by batch."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

from vqgen.batch import Condition, Given, ImageBatch, from_bytes, to_bytes
from vqgen.drawing import KnownCodes, Sampler, Sampling
from vqgen.environment.faults import is_memory
from vqgen.errors import UserError, command
from vqgen.protocols import (
    AutoregressivePrior,
    FeatureNetwork,
    Features,
    Images,
    PriorOfLevels,
    Variational,
    usual_prior,
)
from vqgen.runs.trained_run import TrainedRun, on_device


def given_of(images: Images, split: str, index: Int[ndarray, " n"]) -> dict[str, Tensor]:
    """Labels and other conditions of the images at `index` of a split, by name: samples are given the same."""
    return {name: torch.from_numpy(np.asarray(values)[index]) for name, values in images.split(split).given.items()}


def choose(num_images: int, wanted: int) -> Int[ndarray, " _"]:
    """Numbers of `wanted` images of a split (all, if it has fewer) in random order, the same every time."""
    return np.random.default_rng(0).permutation(num_images)[:wanted]


def real(
    images: Images, split: str, index: Int[ndarray, " n"], batch_size: int, device: torch.device, title: str
) -> Iterator[ImageBatch]:
    """The images at `index` of a split, with a progress bar."""
    for start in tqdm(range(0, len(index), batch_size), desc=title, unit="batch", leave=False):
        yield on_device(images.batch(split, index[start : start + batch_size]), device)


def draw_levels(
    trained: TrainedRun,
    num_samples: int,
    given: Given,
    sampling: Sampling,
    sampler: Sampler | None = None,
    *,
    known: Sequence[KnownCodes | None] = (),
    size: Sequence[int] | None = None,
    first: int = 0,
    progress: bool = False,
) -> list[Int[Tensor, "b _ _"]]:
    """Codes of all levels, drawn from the top down from the priors of a run.

    Args:
        trained: a run with the priors of all levels.
        num_samples: how many maps of each.
        given: label and other conditions of each sample, by name.
        sampling: one value for all levels or lists of one for each.
        sampler: how maps are drawn; None for the usual way of such a prior.
        known: codes to keep of each level; left out, none are.
        size: height and width of the images that the codes are of; None for those of training.
        first: number of the first of these samples, where they are drawn batch by batch.
        progress: show a bar.
    """
    codes: list[Tensor] = []
    kept = known or [None] * len(trained.priors)
    grids = grids_of(trained, size) if size else [None] * len(trained.priors)
    for prior, own, keep, grid in zip(trained.priors, sampling.of_levels(trained.levels), kept, grids, strict=True):
        condition = Condition(codes, given)
        drawn = prior.sample(
            num_samples, condition, own, sampler=sampler, known=keep, grid=grid, first=first, progress=progress
        )
        codes = [*codes, drawn]  # a new list: the condition keeps the one it was given
    return codes


def grids_of(trained: TrainedRun, size: Sequence[int]) -> list[tuple[int, int]]:
    """Heights and widths of the code maps of each level, for images of a height and width.

    Raises:
        UserError: they have no whole number of codes, or the tokenizer decodes no other size than its own.
    """
    (_, *trained_size), per_place = trained.coder.shape, trained.coder.codes_per_place
    grids = [(prior.grid[0], prior.grid[1] // per_place) for prior in trained.priors]
    for side, axis in zip(size, (0, 1), strict=True):
        step = max(trained_size[axis] // math.gcd(trained_size[axis], grid[axis]) for grid in grids)
        if side < 1 or side % step:
            near = max(step, round(side / step) * step)
            raise UserError(f"size={list(size)}: sides are multiples of {step} (did you mean {near} for {side}?)")
    h, w = (side / of for side, of in zip(size, trained_size, strict=True))
    found = [(round(grid[0] * h), round(grid[1] * w) * per_place) for grid in grids]
    try:
        trained.coder.decode([torch.zeros(1, *grid, dtype=torch.long, device=trained.coder.device) for grid in found])
    except (ValueError, RuntimeError) as error:
        if is_memory(error):
            raise
        name = type(trained.coder).__name__
        raise UserError(f"size={list(size)}: {name} decodes no other size than it was trained on") from error
    return found


def generated(
    trained: TrainedRun,
    num_samples: int,
    given: Given,
    sampling: Sampling,
    batch_size: int,
    sampler: Sampler | None = None,
) -> Iterator[Float[Tensor, "b c h w"]]:
    """Images in [-1, 1], as `drawn` gives them."""
    return (part.images for part in drawn(trained, num_samples, given, sampling, batch_size, sampler))


class Drawn(NamedTuple):
    """Images in [-1, 1] and the codes of all levels that they are decoded from; a VAE's have none."""

    images: Float[Tensor, "b c h w"]
    codes: list[Int[Tensor, "b _ _"]]


def drawn(
    trained: TrainedRun,
    num_samples: int,
    given: Given,
    sampling: Sampling,
    batch_size: int,
    sampler: Sampler | None = None,
    size: Sequence[int] | None = None,
) -> Iterator[Drawn]:
    """Draw from the priors of all levels, or from a VAE, `batch_size` images at a time, with a progress bar.

    The same seed gives the same images, whatever the batch size, up to the rounding of logits. A VAE takes of
    `sampling` the seed alone, and no conditions. Arguments as for `draw_levels`.
    """
    starts, alone = range(0, num_samples, batch_size), num_samples <= batch_size
    for start in starts if alone else tqdm(starts, desc="drawing samples", unit="batch", leave=False):
        number = min(batch_size, num_samples - start)
        if isinstance(trained.model, Variational):
            yield Drawn(trained.model.generate(number, sampling.seed, start), [])
            continue
        part = {name: values[start : start + number] for name, values in given.items()}
        codes = draw_levels(trained, number, part, sampling, sampler, size=size, first=start, progress=alone)
        yield Drawn(trained.coder.decode(codes), codes)


def lacks_priors(trained: TrainedRun) -> str:
    """What is missing to draw codes of every level; empty where nothing is."""
    if not trained.priors:
        model = usual_prior(trained.coder) if trained.levels else "gated_pixelcnn"
        return f"a prior ({command('train', f'model={model}', 'tokenizer=RUN')} makes one)"
    levels = [prior.level for prior in trained.priors]
    if twice := [name for level, name in enumerate(trained.levels) if levels.count(level) > 1]:
        return f"one prior of each level, and not several of {', '.join(twice)}"
    missing = trained.missing_priors
    several = "train it without level=" if isinstance(trained.model, PriorOfLevels) else "run=[TOP,BOTTOM]"
    return f"the prior of every level, {', '.join(missing)} too: {several}" if missing else ""


def lacks_order(trained: TrainedRun) -> str:
    """What is missing to code maps one code after another; empty where nothing is."""
    ordered = all(isinstance(prior, AutoregressivePrior) for prior in trained.priors)
    return lacks_priors(trained) if ordered else "priors of codes one after another: model=masked has no order of them"


def lacks_samples(trained: TrainedRun) -> str:
    """What is missing to draw images from a run; empty where nothing is."""
    if isinstance(trained.model, Variational):
        return ""
    return ("" if trained.priors else "a VAE or ") + lacks_priors(trained)


def describe(network: FeatureNetwork, batches: Iterable[Float[Tensor, "b c h w"]]) -> Features:
    """Features of all images."""
    return Features(*map(torch.cat, zip(*map(network.describe, batches), strict=True)))


def gather(batches: Iterable[Float[Tensor, "b c h w"]]) -> UInt8[Tensor, "n c h w"]:
    """All images as bytes in the CPU's memory."""
    return torch.cat([to_bytes(x).cpu() for x in batches])


def in_batches(images: UInt8[Tensor, "n c h w"], size: int, device: torch.device) -> Iterator[Float[Tensor, "b c h w"]]:
    """Bytes to images in [-1, 1] on a device, `size` at a time."""
    return (from_bytes(part.to(device)) for part in images.split(size))
