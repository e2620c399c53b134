"""An autoencoder on real images: how close its reconstructions are and how its codes are used."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.measure.likelihood import decoder_nats, level_suffix, likelihood_of
from vqgen.measure.metrics.codebook import CodebookUsage
from vqgen.measure.metrics.reconstruction import Reconstruction
from vqgen.protocols import Autoencoder, FeatureNetwork, Features, Tokenizer


class ReconstructionMeasures(NamedTuple):
    """`figures` by name, `features` of the reconstructions (if a network was given), `counts` of each level's codes."""

    figures: dict[str, float]
    features: Features | None
    counts: dict[str, Int[Tensor, " _"]]


def measure(
    model: Autoencoder, batches: Iterable[ImageBatch], errors: Reconstruction, network: FeatureNetwork | None = None
) -> ReconstructionMeasures:
    """Take images through an autoencoder once and measure the reconstructions by `errors`.

    A tokenizer also gives the perplexity and usage of each level's codebook, the compression ratio at the fixed rate of
    log2 K bits a code against 8-bit values, and, with a likelihood, the bits/dim of the images given their codes. With
    a `network` the features of the reconstructions are kept.
    """
    tokenizer = model if isinstance(model, Tokenizer) else None
    sizes = tokenizer.num_embeddings if tokenizer else []
    usage = [CodebookUsage(k, sync_on_compute=False).to(model.device) for k in sizes]
    likelihood = likelihood_of(tokenizer)
    features, nats, count = [], 0.0, 0
    for batch in batches:
        codes = model.encode(batch.x)
        x_hat = model.decode(codes)
        errors.update(batch.x, x_hat)
        for metric, level in zip(usage, codes if tokenizer else [], strict=True):
            metric.update(level)
        if tokenizer and likelihood:
            nats, count = nats + decoder_nats(tokenizer, batch.x, list(codes)), count + len(batch.x)
        if network is not None:
            features.append(network.describe(x_hat))
    figures = errors.compute()
    described = Features(*map(torch.cat, zip(*features, strict=True))) if features else None
    if tokenizer is None:
        return ReconstructionMeasures(figures, described, {})
    num_dims = math.prod(tokenizer.shape)
    if likelihood and count:
        bits = likelihood.bits_per_dim(torch.tensor(nats / count, dtype=torch.float64), num_dims)
        figures[f"{likelihood.bits_name}_given_codes"] = float(bits)
    for level, metric in enumerate(usage):
        for name, value in metric.compute()._asdict().items():
            figures[f"{name}{level_suffix(tokenizer, level)}"] = float(value)
    code_bits = sum(math.prod(grid) * math.log2(k) for grid, k in zip(tokenizer.grids, sizes, strict=True))
    figures["compression_ratio_fixed"] = 8 * num_dims / code_bits
    counts = {name: metric.counts.cpu() for name, metric in zip(tokenizer.level_names, usage, strict=True)}
    return ReconstructionMeasures(figures, described, counts)
