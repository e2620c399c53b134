"""Real images and generated ones, batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

from vqgen.batch import ImageBatch
from vqgen.measure.metrics.features import Features
from vqgen.pictures.figures import to_uint8
from vqgen.runs.trained import Trained


def choose(num_images: int, wanted: int) -> Int[ndarray, " _"]:
    """Numbers of `wanted` images of a split (all, if it has fewer) in random order, the same every time."""
    return np.random.default_rng(0).permutation(num_images)[:wanted]


def real(
    images: Any, split: str, index: Int[ndarray, " n"], batch_size: int, device: torch.device, title: str
) -> Iterator[ImageBatch]:
    """The images at `index` of a split, with a progress bar."""
    for start in tqdm(range(0, len(index), batch_size), desc=title, unit="batch", leave=False):
        batch = images.batch(split, index[start : start + batch_size])
        label = None if batch.label is None else batch.label.to(device)
        yield ImageBatch(batch.x.to(device), label, batch.index.to(device))


def generated(
    trained: Trained, num_samples: int, labels: Int[Tensor, " n"] | None, options: list[dict[str, Any]], seed: int,
    batch_size: int,
) -> Iterator[Float[Tensor, "b c h w"]]:
    """Images in [-1, 1] drawn from the priors of all levels, or from a VAE, with a progress bar.

    Args:
        trained: a prior's run (those of all levels), or a VAE's.
        num_samples: how many images.
        labels: class of each image, for priors with classes.
        options: of `sample` for each level, top first; none for a VAE.
        seed: the same seed gives the same images, whatever the batch size, up to the rounding of logits.
        batch_size: images drawn at a time.
    """
    for start in tqdm(range(0, num_samples, batch_size), desc="drawing samples", unit="batch", leave=False):
        size = min(batch_size, num_samples - start)
        if trained.tokenizer is None:
            yield trained.model.generate(size, seed, start)
            continue
        codes: list[Tensor] = []
        for prior, chosen in zip(trained.priors, options, strict=True):
            label = labels[start : start + size] if labels is not None and prior.num_classes else None
            codes.append(prior.sample(size, codes, label, **chosen, seed=seed, first=start))
        yield trained.tokenizer.decode(codes)


def lacks_priors(trained: Trained) -> str:
    """What is missing to draw codes of every level; empty where nothing is."""
    if not trained.priors:
        return "a prior (python train.py model=gated_pixelcnn tokenizer=RUN makes one)"
    levels = [prior.level for prior in trained.priors]
    if twice := [name for level, name in enumerate(trained.levels) if levels.count(level) > 1]:
        return f"one prior of each level, and not several of {', '.join(twice)}"
    missing = trained.missing_priors
    return f"the prior of every level, {', '.join(missing)} too: run=[TOP,BOTTOM]" if missing else ""


def lacks_samples(trained: Trained) -> str:
    """What is missing to draw images from a run; empty where nothing is."""
    if hasattr(trained.model, "generate"):
        return ""
    return ("" if trained.priors else "a VAE or ") + lacks_priors(trained)


def has_classes(trained: Trained) -> bool:
    """Whether samples can be asked for by class."""
    return bool(trained.priors) and any(prior.num_classes for prior in trained.priors)


def describe(network: Any, batches: Iterator[Float[Tensor, "b c h w"]]) -> Features:
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
