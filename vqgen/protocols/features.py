"""What may be asked of networks that describe images, and of classifiers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from vqgen.batch import ImageBatch
from vqgen.optim import Objective
from vqgen.protocols.autoencoders import OnDevice


class Features(NamedTuple):
    """Of n images: feature vectors, and log-probabilities of the classes in nats."""

    vectors: Float[Tensor, "n d"]
    log_prob: Float[Tensor, "n k"]


@runtime_checkable
class FeatureNetwork(Protocol):
    """Describes images by vectors, that they may be compared."""

    @property
    def num_features(self) -> int:
        """Numbers in a vector."""

    def describe(self, x: Float[Tensor, "b c h w"]) -> Features:
        """Features and log-probabilities of classes for images in [-1, 1]."""


@runtime_checkable
class Classifier(FeatureNetwork, OnDevice, Protocol):
    """p(class given image), which can be trained anew."""

    shape: Sequence[int]
    num_classes: int
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    schedule: Callable[[int, float], float]

    def log_prob(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """log p(class given image) in nats."""

    def untrained(self, seed: int = 0) -> "Classifier":
        """A classifier of the same architecture with new weights."""

    def objective(self, batch: ImageBatch) -> Objective:
        """What training minimises."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What training changes."""

    def eval(self) -> "Classifier":
        """Leave training."""
