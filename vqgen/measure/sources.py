"""Real images and generated ones, batch by batch."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

from vqgen.batch import Condition, Given, ImageBatch
from vqgen.drawing import Known, Sampler, Sampling
from vqgen.pictures.figures import to_uint8
from vqgen.protocols import FeatureNetwork, Features, Images, Variational
from vqgen.runs.trained_run import TrainedRun, on_device


def given_of(images: Images, split: str, index: Int[ndarray, " n"]) -> dict[str, Tensor]:
    """What is given of the images at `index` of a split: samples have the same."""
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
    known: Sequence[Known | None] = (),
    first: int = 0,
    progress: bool = False,
) -> list[Int[Tensor, "b _ _"]]:
    """Codes of all levels, drawn from the top down.

    Args:
        trained: the priors of all levels.
        num_samples: how many maps of each.
        given: what is given of each sample.
        sampling: temperature and the like, one for all levels or lists of one for each.
        sampler: how maps are drawn; None for one position after another.
        known: codes to keep of each level; left out, none are.
        first: number of the first of these samples, where they are drawn batch by batch.
        progress: show a bar.
    """
    codes: list[Tensor] = []
    kept = known or [None] * len(trained.priors)
    for prior, own, keep in zip(trained.priors, sampling.of_levels(trained.levels), kept, strict=True):
        drawn = prior.sample(
            num_samples, Condition(codes, given), own, sampler=sampler, known=keep, first=first, progress=progress
        )
        codes = [*codes, drawn]
    return codes


def generated(
    trained: TrainedRun, num_samples: int, given: Given, sampling: Sampling, batch_size: int,
    sampler: Sampler | None = None,
) -> Iterator[Float[Tensor, "b c h w"]]:
    """Images in [-1, 1] drawn from the priors of all levels, or from a VAE, with a progress bar.

    Args:
        trained: a prior's run (those of all levels), or a VAE's.
        num_samples: how many images.
        given: what is given of each image, its class above all; for priors.
        sampling: temperature and the like, for a VAE the seed alone. The same seed gives the same images, whatever the
            batch size, up to the rounding of logits.
        batch_size: images drawn at a time.
        sampler: how maps are drawn; None for one position after another.
    """
    for start in tqdm(range(0, num_samples, batch_size), desc="drawing samples", unit="batch", leave=False):
        size = min(batch_size, num_samples - start)
        if isinstance(trained.model, Variational):
            yield trained.model.generate(size, sampling.seed, start)
            continue
        part = {name: values[start : start + size] for name, values in given.items()}
        yield trained.coder.decode(draw_levels(trained, size, part, sampling, sampler, first=start))


def lacks_priors(trained: TrainedRun) -> str:
    """What is missing to draw codes of every level; empty where nothing is."""
    if not trained.priors:
        return "a prior (python train.py model=gated_pixelcnn tokenizer=RUN makes one)"
    levels = [prior.level for prior in trained.priors]
    if twice := [name for level, name in enumerate(trained.levels) if levels.count(level) > 1]:
        return f"one prior of each level, and not several of {', '.join(twice)}"
    missing = trained.missing_priors
    return f"the prior of every level, {', '.join(missing)} too: run=[TOP,BOTTOM]" if missing else ""


def lacks_samples(trained: TrainedRun) -> str:
    """What is missing to draw images from a run; empty where nothing is."""
    if isinstance(trained.model, Variational):
        return ""
    return ("" if trained.priors else "a VAE or ") + lacks_priors(trained)


def has_classes(trained: TrainedRun) -> bool:
    """Whether samples can be asked for by class."""
    return trained.num_classes > 0


def describe(network: FeatureNetwork, batches: Iterator[Float[Tensor, "b c h w"]]) -> Features:
    """Features of all images."""
    parts = [network.describe(x) for x in batches]
    return Features(torch.cat([p.vectors for p in parts]), torch.cat([p.log_prob for p in parts]))


def gather(batches: Iterator[Float[Tensor, "b c h w"]]) -> UInt8[Tensor, "n c h w"]:
    """All images as bytes in the CPU's memory."""
    return torch.cat([to_uint8(x).cpu() for x in batches])


def in_batches(images: UInt8[Tensor, "n c h w"], size: int, device: torch.device) -> Iterator[Float[Tensor, "b c h w"]]:
    """Bytes back to images in [-1, 1]."""
    for part in images.split(size):
        yield part.to(device).float() / 127.5 - 1
