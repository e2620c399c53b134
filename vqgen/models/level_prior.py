"""A prior's level: a network and what conditions it, and all that is drawn and measured with them."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from vqgen.batch import CodeBatch, Condition
from vqgen.devices import is_slow_in_bfloat16
from vqgen.drawing import Incremental, KnownCodes, Sampler, Sampling, begin, sample_codes, sample_seeds
from vqgen.errors import UserError
from vqgen.nn.precision import in_bfloat16
from vqgen.nn.priors import code_nats

ALONE = Condition()
"""Nothing beside the codes themselves."""


@runtime_checkable
class Conditions(Protocol):
    """What makes the map that a network is conditioned on, such as `vqgen.nn.priors.Conditioner`."""

    @property
    def takes(self) -> list[str]:
        """Names of the conditions beside codes that make a difference."""

    def __call__(self, condition: Condition, num_samples: int = 1) -> Float[Tensor, "_ e _ _"] | None:
        """The map, of each sample or one for all."""

    def check(self, condition: Condition, none: bool = True) -> None:
        """Raise UserError for a condition that there is not, where `none` says whether no class may be one."""


class LevelPrior(nn.Module):
    """p(codes of a level | codes of the levels above, class label), from a network and what conditions it."""

    grid: tuple[int, ...]
    num_embeddings: int
    num_classes: int
    level: int
    network: nn.Module
    conditioner: Conditions

    @property
    def takes(self) -> list[str]:
        """Names of what is given of an image and makes a difference to this prior, such as `label`."""
        return self.conditioner.takes

    def forward(self, codes: Int[Tensor, "b h w"], condition: Condition = ALONE) -> Float[Tensor, "b k h w"]:
        """Logits of every code given those that the network sees and the condition."""
        return self.network(codes, self.conditioner(condition, len(codes)))

    def sample(
        self,
        num_samples: int,
        condition: Condition = ALONE,
        sampling: Sampling | None = None,
        *,
        sampler: Sampler | None = None,
        known: KnownCodes | None = None,
        grid: Sequence[int] | None = None,
        first: int = 0,
        progress: bool = False,
    ) -> Int[Tensor, "b h w"]:
        """Draw code maps of this level.

        Args:
            num_samples: how many maps.
            condition: codes of the levels above and what is given of each sample. Where no label is, it draws without a
                class, which a prior knows that has seen no class in training (`label_dropout`).
            sampling: temperature and the like, and the seed; None leaves them as they stand.
            sampler: how maps are drawn; None for the usual way of such a prior.
            known: codes to keep, the rest is drawn (completion).
            grid: height and width of the maps; None for those of training. Below other levels it is in the proportion
                to their maps that it was trained in.
            first: number i of the first of these samples, where they are drawn batch by batch.
            progress: show a bar.

        Raises:
            UserError: guidance, or no label, with a prior that has never been trained without one; a grid that its
                network cannot draw.
        """
        sampling, grid = sampling or Sampling(), tuple(grid or self.grid)
        training = self.training
        self.eval()
        with torch.no_grad():
            prior, condition = self._as_drawn(sampling), self._here(condition)
            conditional = prior.conditioner(condition, num_samples)
            if grid != self.grid:
                self._check_grid(grid, condition)
            guided = sampling.guidance != 1
            unconditional = prior.conditioner(Condition(condition.upper), num_samples) if guided else None
            codes = sample_codes(
                prior.network,
                grid,
                num_samples,
                conditional,
                unconditional=unconditional,
                sampling=sampling,
                sampler=sampler,
                known=known,
                progress=progress,
                seeds=sample_seeds(sampling.seed, range(first, first + num_samples), self.level),
            )
        self.train(training)
        return codes

    def _as_drawn(self, sampling: Sampling) -> "LevelPrior":
        """This prior, or the copy that the precision asks for; a warning where a CPU takes longer with it."""
        if sampling.precision == "float32":
            return self
        if is_slow_in_bfloat16(_device(self.network)):
            rank_zero_warn(
                "precision=bfloat16: this CPU has no bfloat16 units, and drawing will rather take longer; leave it out"
            )
        return in_bfloat16(self)

    def _check_grid(self, grid: Sequence[int], condition: Condition) -> None:
        """Raise UserError where the network takes no map of this size."""
        codes = torch.zeros(1, *grid, dtype=torch.long, device=_device(self.network))
        try:
            self(codes, condition.first(1))
        except (ValueError, RuntimeError, IndexError) as error:
            name, (height, width) = type(self.network).__name__, self.grid
            raise UserError(
                f"a map of {grid[0]}x{grid[1]}: {name} was trained on {height}x{width}, and draws no other ({error})"
            ) from None

    def _here(self, condition: Condition) -> Condition:
        """The condition on this prior's device, which names nothing that there is not."""
        self.conditioner.check(condition)
        device = _device(self.network)
        given = {name: value.to(device) for name, value in condition.given.items()}
        return Condition([codes.to(device) for codes in condition.upper], given)


class RasterLevel(LevelPrior):
    """The same as a product over positions in raster order: exact, and to be asked for one code after another."""

    exact = True

    def log_prob(self, codes: Int[Tensor, "b h w"], condition: Condition = ALONE) -> Float[Tensor, "b h w"]:
        """Log-probability of each code in nats."""
        return -code_nats(self(codes, condition), codes)

    def nll(self, batch: CodeBatch, known: Bool[Tensor, "h w"] | None = None) -> Float[Tensor, "b h w"]:
        """Negative log-likelihood in nats of each code of this level that is not known, given those before it."""
        nats = -self.log_prob(batch.codes[-1], batch.condition)
        return nats if known is None else nats.masked_fill(known, 0.0)

    @torch.no_grad()
    def begin(self, num_samples: int, condition: Condition = ALONE) -> Incremental:
        """The prior before the first code, to be asked for `logits` and told by `push` one code after another.

        Args:
            num_samples: maps at a time.
            condition: codes of the levels above and what is given of each sample.
        """
        return begin(self.network, num_samples, self.grid, self.conditioner(self._here(condition), num_samples))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
