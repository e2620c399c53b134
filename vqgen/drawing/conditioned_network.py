"""A network with its condition, from which samplers draw."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.drawing.incremental import Incremental, begin
from vqgen.drawing.sampling import Guidance
from vqgen.errors import UserError
from vqgen.nn.precision import at_least_float32
from vqgen.nn.priors.network import MaskedNetwork


class ConditionedNetwork:
    """Logits of a network under its condition, moved away from those without the label where it is guided.

    Args:
        network: from codes and a condition map to logits; in evaluation mode.
        condition: the condition map of each sample, or one for all; None where the network takes none.
        unconditional: the condition map without label; needed where `guidance` is not 1.
        guidance: see `Sampling`.

    Raises:
        ValueError: guidance without an unconditional map, or a network in training mode.
    """

    def __init__(
        self,
        network: nn.Module,
        condition: Float[Tensor, "_ e _ _"] | None = None,
        unconditional: Float[Tensor, "_ e _ _"] | None = None,
        guidance: Guidance = 1.0,
    ) -> None:
        if network.training:
            raise ValueError("the network is in training mode, dropout would act: call its eval() first.")
        if guidance != 1 and (condition is None or unconditional is None):
            raise ValueError(f"guidance={guidance} needs a prior with labels: give condition and unconditional.")
        self.network, self.condition = network, condition
        self.unconditional = unconditional if guidance != 1 else None
        self.guidance = guidance

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    def weights(self, num_positions: int) -> list[float]:
        """The weight of guidance at each position."""
        guidance = self.guidance
        return [guidance(i / num_positions) if callable(guidance) else guidance for i in range(num_positions)]

    def logits(self, codes: Int[Tensor, "b h w"]) -> Float[Tensor, "b k h w"]:
        """Logits of whole maps, of a causal network (eq. 6 of arXiv 2207.12598)."""
        self._check_causal()
        weights = torch.tensor(self.weights(codes[0].numel()), device=codes.device)
        return self._guided(codes, weights.view(codes.shape[1:]))

    @property
    def mask_code(self) -> int:
        """What stands for a code that is masked.

        Raises:
            UserError: the network is a causal one.
        """
        if not isinstance(self.network, MaskedNetwork):
            name = type(self.network).__name__
            raise UserError(f"sampler: a prior with {name} draws one code after another; take raster or fixed_point")
        return self.network.mask_code

    def masked_logits(self, codes: Int[Tensor, "b h w"], share: float) -> Float[Tensor, "b k h w"]:
        """Logits of maps of which some codes are masked, with guidance as it is when this share is drawn."""
        guidance = self.guidance(share) if callable(self.guidance) else self.guidance
        return self._guided(codes, torch.tensor(guidance, device=codes.device))

    def _guided(self, codes: Int[Tensor, "b h w"], weights: Float[Tensor, "*hw"]) -> Float[Tensor, "b k h w"]:
        conditional = at_least_float32(self.network(codes, self.condition))
        if self.unconditional is None:
            return conditional
        unconditional = at_least_float32(self.network(codes, self.unconditional))
        return torch.lerp(unconditional, conditional, weights.to(conditional.dtype))

    def _check_causal(self) -> None:
        if isinstance(self.network, MaskedNetwork):
            name = type(self.network).__name__
            raise UserError(f"sampler: a prior with {name} draws masked maps in few steps; take masked or halton")

    def begin(self, num_samples: int, grid: Sequence[int]) -> "Incremental | GuidedNetwork":
        """The same before the first position, to be asked for one position after another."""
        self._check_causal()
        if self.unconditional is None:
            return begin(self.network, num_samples, grid, self.condition)
        both = (x.expand(num_samples, -1, -1, -1) for x in (self.condition, self.unconditional) if x is not None)
        state = begin(self.network, 2 * num_samples, grid, torch.cat([*both]))
        return GuidedNetwork(state, self.weights(grid[0] * grid[1]))


class GuidedNetwork:
    """Two evaluations of a network in one batch, with and without the label."""

    def __init__(self, state: Incremental, weights: Sequence[float]):
        self.state, self.weights = state, weights
        self.position = 0

    def logits(self) -> Float[Tensor, "b k"]:
        """Logits of the next code, moved away from those without the label."""
        conditional, unconditional = self.state.logits().chunk(2)
        return torch.lerp(unconditional, conditional, self.weights[self.position])

    def push(self, codes: Int[Tensor, " b"]) -> None:
        """Both go on with the same codes."""
        self.state.push(codes.repeat(2))
        self.position += 1
