"""How many bits a model needs for its images."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.batch import CodeBatch, Given, ImageBatch
from vqgen.devices import fork_rng
from vqgen.nn import likelihoods
from vqgen.protocols import Bound, Prior, Tokenizer, Variational


class LikelihoodFigures(NamedTuple):
    """`figures` by name, and the `maps` of the mean nats at each position of the levels, by level name."""

    figures: dict[str, float]
    maps: dict[str, Float[Tensor, "_ _"]]


def level_suffix(tokenizer: Tokenizer, level: int) -> str:
    """What is put after the name of a level's figure: nothing, where there is one level."""
    return f"_{tokenizer.level_names[level]}" if len(tokenizer.grids) > 1 else ""


def of_priors(
    tokenizer: Tokenizer, priors: list[Prior], batches: Iterable[ImageBatch], marginal: bool = False
) -> LikelihoodFigures:
    """Negative log-likelihood of the codes of each level, and with the priors of all levels that of the images.

    `nats_per_code` and `bits_per_code` of a level are averages over positions. With all levels, `code_bits` is the bits
    of all codes of an image, `rate` the same divided by its number of values (bits/dim of the code alone),
    `compression_ratio_prior` how many times smaller it is than 8 bits a value, and with a decoder likelihood
    `bits_per_dim` is -log2 p(codes) p(bytes given codes) a value: what the image needs as a whole.

    Priors that know labels are given those of the images: their p(codes) is p(codes given the label), and the figures
    of whole images are named so, `code_bits_given_label` and so on. Without the ending they are over labels. Figures of
    priors that have a bound alone are named so, `nats_per_code_bound`, `code_bits_bound_given_label`: the true ones are
    at most as large (and `compression_ratio_prior` at least).

    `completion_nats_per_code` is of the codes in a hole in the middle, half as high and wide as the map: by a causal
    prior, given those before them, by a masked one, given all around.

    Args:
        tokenizer: whose codes they are.
        priors: of some levels or all, top first.
        batches: images, with labels where the priors know any.
        marginal: add the figures over labels (`over_labels`), for as many passes as there are classes.
    """
    sums = [torch.zeros(*prior.grid, dtype=torch.float64) for prior in priors]
    holes = [torch.zeros((), dtype=torch.float64) for _ in priors]
    distortion, count, marginal_nats = 0.0, 0, 0.0
    complete = [prior.level for prior in priors] == list(range(len(tokenizer.grids)))
    for batch in batches:
        codes = tokenizer.encode(batch.x)
        for i, prior in enumerate(priors):
            nats = nats_of(prior, codes, batch.given)
            sums[i] = sums[i] + nats.sum(0)
            known = ~hole(prior.grid, tokenizer.codes_per_place)
            holes[i] += (nats * ~known if prior.exact else nats_of(prior, codes, batch.given, known)).sum()
        if marginal:
            marginal_nats += float(over_labels(priors, codes, batch.given).sum())
        if complete and likelihood_of(tokenizer):
            distortion += decoder_nats(tokenizer, batch.x, codes)
        count += len(batch.x)
    figures: dict[str, float] = {}
    maps = {}
    for prior, total, in_hole in zip(priors, sums, holes, strict=True):
        nats, suffix = total / count, bound_suffix([prior]) + level_suffix(tokenizer, prior.level)
        maps[tokenizer.level_names[prior.level]] = nats.float().cpu()
        figures[f"nats_per_code{suffix}"] = float(nats.mean())
        figures[f"bits_per_code{suffix}"] = float(nats.mean()) / math.log(2)
        num_hidden = hole(prior.grid, tokenizer.codes_per_place).sum()
        figures[f"completion_nats_per_code{suffix}"] = float(in_hole / (count * num_hidden))
    bound = bound_suffix(priors)
    if complete:
        code_nats = sum(float((total / count).sum()) for total in sums)
        figures |= _totals(tokenizer, code_nats, distortion / count, taken(priors), bound)
    if marginal:
        others = [name for name in taken(priors) if name != "label"]
        figures |= _totals(tokenizer, marginal_nats / count, distortion / count, others, bound)
    return LikelihoodFigures(figures, maps)


def taken(priors: Sequence[Prior]) -> list[str]:
    """Names of the conditions that make a difference to some of the priors, such as `label`."""
    return list(dict.fromkeys(name for prior in priors for name in prior.takes))


def bound_suffix(priors: Sequence[Prior]) -> str:
    """What is put after the name of a figure: nothing, where all priors have the likelihood itself."""
    return "" if all(prior.exact for prior in priors) else "_bound"


def over_labels(priors: list[Prior], codes: list[Int[Tensor, "b _ _"]], given: Given) -> Float[Tensor, " b"]:
    """Nats of the codes of all levels where the label is not known: -log of the mean over classes of p(codes given it).

    All classes are equally likely, as they are where `task=sample` draws them in turn. It is at most log(classes),
    which is what the label itself takes, above the nats given the image's label. `priors` and `codes` are of all
    levels, top first; of `given` the label is ignored.
    """
    num_classes = max(prior.num_classes for prior in priors)
    nats = []
    for number in range(num_classes):
        with_label = {**given, "label": codes[0].new_full((len(codes[0]),), number)}
        nats.append(torch.stack([nats_of(prior, codes, with_label).sum((1, 2)) for prior in priors]).sum(0))
    return math.log(num_classes) - torch.stack([-n for n in nats]).logsumexp(0)


def hole(grid: Sequence[int], per_place: int = 1) -> Bool[Tensor, "h w"]:
    """Positions in the middle of a map, half of its height and width; `per_place` codes side by side are one place."""
    height, width = grid[0], grid[1] // per_place
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[height // 4 :, width // 4 :][: (height + 1) // 2, : (width + 1) // 2] = True
    return inside.repeat_interleave(per_place, dim=1)


def nats_of(
    prior: Prior, codes: list[Tensor], given: Given, known: Bool[Tensor, "h w"] | None = None
) -> Float[Tensor, "b h w"]:
    """Of each code of a prior's level that is not known, in float64."""
    batch = CodeBatch(codes[: prior.level + 1], given, torch.arange(len(codes[0])))
    return prior.nll(batch, known).cpu().double()


def _totals(
    tokenizer: Tokenizer, code_nats: float, decoder_nats: float, given: Sequence[str], bound: str
) -> dict[str, float]:
    """Figures of whole images; their names end with what is `given`, as in `code_bits_bound_given_label_and_colour`."""
    num_dims = math.prod(tokenizer.shape)
    bits = code_nats / math.log(2)
    figures = {"code_bits": bits, "rate": bits / num_dims, "compression_ratio_prior": 8 * num_dims / bits}
    if likelihood := likelihood_of(tokenizer):
        nats = torch.tensor(code_nats + decoder_nats)
        figures[likelihood.bits_name] = float(likelihood.bits_per_dim(nats, num_dims))
    ending = bound + (f"_given_{'_and_'.join(given)}" if given else "")
    return {f"{name}{ending}": value for name, value in figures.items()}


def of_vae(vae: Variational, batches: Iterable[ImageBatch]) -> LikelihoodFigures:
    """The ELBO in nats an image, and the bits/dim of bytes (one draw of z an image), for a VAE with a likelihood.

    With `importance_samples` in the model's config also the importance-weighted bound, which is closer to log p(x).
    """
    draws = {"elbo": 1} | ({"importance_weighted_bound": vae.importance_samples} if vae.importance_samples else {})
    sums, count = {name: torch.zeros(2, dtype=torch.float64) for name in draws}, 0
    with fork_rng(vae.device):
        torch.manual_seed(0)
        for batch in batches:
            for name, n in draws.items():
                bound = vae.bound(batch.x, n)
                sums[name] += torch.stack(list(bound)).cpu().double().sum(1)
            count += len(batch.x)
    bounds = [vae.named(name, Bound(*(total / count))) for name, total in sums.items()]
    return LikelihoodFigures({key: float(value) for named in bounds for key, value in named.items()}, {})


def likelihood_of(model: object) -> likelihoods.Likelihood | None:
    """The likelihood that a decoder was trained with; None where it was trained with an error alone, or is none."""
    likelihood = getattr(model, "likelihood", None)
    return likelihood if isinstance(likelihood, likelihoods.Likelihood) else None


def decoder_nats(tokenizer: Tokenizer, x: Float[Tensor, "b c h w"], codes: Sequence[Int[Tensor, "b _ _"]]) -> float:
    """Nats of the bytes of images given their codes, summed over the batch, for a tokenizer with a likelihood."""
    likelihood = likelihood_of(tokenizer)
    assert likelihood is not None
    return -float(likelihood.log_mass(tokenizer.decode_output(codes), x).cpu().double().sum())
