"""Drawing maps of codes from a network, by any sampler."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.independent import Independent
from vqgen.drawing.masked import DEFAULT_STEPS, Confidence
from vqgen.drawing.raster import Raster
from vqgen.drawing.sampler import Draw, Sampler
from vqgen.drawing.sampling import KnownCodes, Sampling, Seed
from vqgen.nn.priors.network import MaskedNetwork
from vqgen.nn.priors.scale_transformer import ScaleHead


@torch.no_grad()
def sample_codes(
    network: nn.Module,
    grid: Sequence[int],
    num_samples: int,
    condition: Float[Tensor, "_ e _ _"] | None = None,
    *,
    unconditional: Float[Tensor, "_ e _ _"] | None = None,
    sampling: Sampling | None = None,
    sampler: Sampler | None = None,
    known: KnownCodes | None = None,
    seeds: Sequence[Seed] | None = None,
    progress: bool = False,
) -> Int[Tensor, "b h w"]:
    """Maps of codes drawn from `network`.

    Args:
        network: from codes and a condition map to logits, each from the codes before it, or from those not masked; in
            evaluation mode.
        grid: height and width of the map.
        num_samples: maps to draw together.
        condition: the condition map of each sample, as `network` takes it.
        unconditional: the condition map without label; needed where there is guidance.
        sampling: the settings of this level; None for the defaults.
        sampler: how maps are drawn; None for `Raster`, one position after another; `Confidence` for a masked
            network, and `Independent` for a scale of a next-scale prior.
        known: codes to keep; None draws the whole map.
        seeds: one for each sample (see `sample_seeds`). None: from torch's generator.
        progress: show a bar with the time left.
    """
    sampling = sampling or Sampling()
    seeds = torch.randint(2**62, (num_samples,)).tolist() if seeds is None else seeds
    if len(seeds) != num_samples:
        raise ValueError(f"seeds has {len(seeds)} entries, num_samples={num_samples}: give one per sample.")
    guidance = sampling.guidance
    assert not isinstance(guidance, list)
    model = ConditionedNetwork(network, condition, unconditional, guidance)
    if sampler is None:
        sampler = _usual(network, grid)
    with torch.inference_mode():
        drawn = sampler(model, Draw((grid[0], grid[1]), seeds, sampling, known, progress))
    name, shape = type(sampler).__name__, [num_samples, *grid]
    if list(drawn.shape) != shape or drawn.dtype != torch.long:
        raise ValueError(f"sampler={name} drew {drawn.dtype} {list(drawn.shape)}, and codes are int64 {shape}")
    readable = drawn.device.type != "meta"
    if known is not None and readable and not torch.equal(drawn[known.mask], known.codes[known.mask]):
        raise ValueError(f"sampler={name} did not keep the codes that are known (see Draw.keep)")
    return drawn.clone()  # a tensor of inference mode could not enter a computation with gradients


def _usual(network: nn.Module, grid: Sequence[int]) -> Sampler:
    """The usual sampler of a network."""
    if isinstance(network, MaskedNetwork):
        return Confidence(min(DEFAULT_STEPS, grid[0] * grid[1]))
    return Independent() if isinstance(network, ScaleHead) else Raster()
