"""What may be asked of priors over codes."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import Incremental, KnownCodes, Sampler, Sampling
from vqgen.protocols.autoencoders import OnDevice, Tokenizer


@runtime_checkable
class Prior(OnDevice, Protocol):
    """p(codes of a level given those above, and what is known of the image)."""

    exact: bool
    level: int
    grid: Sequence[int]
    num_embeddings: int
    num_classes: int

    @property
    def takes(self) -> list[str]:
        """Names of what is given of an image and makes a difference to it, such as `label`."""

    def nll(self, batch: CodeBatch, known: Bool[Tensor, "h w"] | None = None) -> Float[Tensor, "b h w"]:
        """Negative log-likelihood of each code in nats; where it is not `exact`, a bound of it from above.

        With `known`, that of the others as the prior completes the map: 0 at the positions that are known.
        """

    def sample(
        self,
        num_samples: int,
        condition: Condition = ...,
        sampling: Sampling | None = None,
        *,
        sampler: Sampler | None = None,
        known: KnownCodes | None = None,
        grid: Sequence[int] | None = None,
        first: int = 0,
        progress: bool = False,
    ) -> Int[Tensor, "b h w"]:
        """Draw code maps."""


@runtime_checkable
class PriorOfLevels(OnDevice, Protocol):
    """p(codes of several levels), in one model."""

    def of_levels(self) -> Sequence[Prior]:
        """The prior of each level, top first; each has this model as its `owner`."""


def usual_prior(tokenizer: Tokenizer) -> str:
    """The `model=` that learns the codes of a tokenizer: of all levels at once where they begin with a single code."""
    if tokenizer.codes_per_place > 1:
        return "rq_transformer"
    scales = len(tokenizer.grids) > 1 and tuple(tokenizer.grids[0]) == (1, 1)
    return "next_scale" if scales else "gated_pixelcnn"


def priors_of(model: object) -> list[Prior]:
    """The priors of levels that a model is; none, if it is none."""
    if isinstance(model, PriorOfLevels):
        return [*model.of_levels()]
    return [model] if isinstance(model, Prior) else []


@runtime_checkable
class AutoregressivePrior(Prior, Protocol):
    """A prior that gives each code from those before it."""

    def begin(self, num_samples: int, condition: Condition = ...) -> Incremental:
        """The prior before the first code, to be asked for one code after another."""
