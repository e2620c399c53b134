"""How many bits a model needs for its images."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.devices import fork_rng


class Likelihood(NamedTuple):
    """`figures` by name, and the `maps` of the mean nats at each position of the levels, by level name."""

    figures: dict[str, float]
    maps: dict[str, Float[Tensor, "_ _"]]


def level_suffix(tokenizer: Any, level: int) -> str:
    """What is put after the name of a level's figure: nothing, where there is one level."""
    return f"_{tokenizer.level_names[level]}" if len(tokenizer.grids) > 1 else ""


def of_priors(tokenizer: Any, priors: list[Any], batches: Iterable[ImageBatch]) -> Likelihood:
    """Negative log-likelihood of the codes of each level, and with the priors of all levels that of the images.

    `nats_per_code` and `bits_per_code` of a level are averages over positions. With all levels, `rate` is the bits of
    all codes of an image divided by its number of values (bits/dim of the code alone), `compression_ratio_prior` how
    many times smaller it is than 8 bits a value, and with a decoder likelihood `bits_per_dim` is
    -log2 p(codes) p(image given codes) a value: what the image needs as a whole.
    """
    sums: list[Any] = [0.0] * len(priors)
    distortion, count = 0.0, 0
    complete = [prior.level for prior in priors] == list(range(len(tokenizer.grids)))
    for batch in batches:
        codes = tokenizer.encode(batch.x)
        for i, prior in enumerate(priors):
            label = batch.label if prior.num_classes else None
            nll = -prior.log_prob(codes[prior.level], codes[: prior.level], label)
            sums[i] = sums[i] + nll.cpu().double().sum(0)
        if complete and hasattr(tokenizer.likelihood, "log_prob"):
            distortion += _decoder_nats(tokenizer, batch.x, codes)
        count += len(batch.x)
    maps = [total / count for total in sums]
    figures: dict[str, float] = {}
    for prior, nats in zip(priors, maps, strict=True):
        suffix = level_suffix(tokenizer, prior.level)
        figures |= {f"nats_per_code{suffix}": float(nats.mean())}
        figures |= {f"bits_per_code{suffix}": float(nats.mean()) / math.log(2)}
    if complete:
        figures |= _totals(tokenizer, sum(float(nats.sum()) for nats in maps), distortion / count)
    names = [tokenizer.level_names[prior.level] for prior in priors]
    return Likelihood(figures, {name: nats.float().cpu() for name, nats in zip(names, maps, strict=True)})


def _totals(tokenizer: Any, code_nats: float, decoder_nats: float) -> dict[str, float]:
    num_dims = math.prod(tokenizer.shape)
    bits = code_nats / math.log(2)
    figures = {"code_bits": bits, "rate": bits / num_dims, "compression_ratio_prior": 8 * num_dims / bits}
    if hasattr(tokenizer.likelihood, "log_prob"):
        nats = torch.tensor(code_nats + decoder_nats)
        figures["bits_per_dim"] = float(tokenizer.likelihood.bits_per_dim(nats, num_dims))
    return figures


def of_decoder(tokenizer: Any, x: Float[Tensor, "b c h w"], codes: list[Int[Tensor, "b _ _"]]) -> float:
    """Bits/dim of images given their codes, for a tokenizer with a likelihood."""
    nats = torch.tensor(_decoder_nats(tokenizer, x, codes) / len(x))
    return float(tokenizer.likelihood.bits_per_dim(nats, math.prod(tokenizer.shape)))


def of_vae(vae: Any, batches: Iterable[ImageBatch]) -> Likelihood:
    """The ELBO in nats an image and as bits/dim (one draw of z for each image), for a VAE with a likelihood.

    With `importance_samples` in the model's config also the importance-weighted bound, which is closer to log p(x).
    """
    draws = {"elbo": 1} | ({"importance_weighted_bound": vae.importance_samples} if vae.importance_samples else {})
    sums, count = dict.fromkeys(draws, 0.0), 0
    with fork_rng(vae.device):
        torch.manual_seed(0)
        for batch in batches:
            for name, n in draws.items():
                sums[name] += float(vae.log_likelihood(batch.x, n).cpu().double().sum())
            count += len(batch.x)
    figures = {name: total / count for name, total in sums.items()}
    for name, suffix in (("elbo", ""), ("importance_weighted_bound", "_importance_weighted_bound")):
        if name in figures:
            bits = vae.likelihood.bits_per_dim(torch.tensor(-figures[name]), math.prod(vae.shape))
            figures[f"bits_per_dim{suffix}"] = float(bits)
    return Likelihood(figures, {})


def _decoder_nats(tokenizer: Any, x: Tensor, codes: list[Tensor]) -> float:
    return -float(tokenizer.likelihood.log_prob(tokenizer.decode_output(codes), x).cpu().double().sum())
