"""What tasks, measures and callbacks may ask of models and data.

A model is of a kind when it has the kind's methods, whatever its class. What a kind has beside its methods are plain
values, not modules, so that `isinstance` can tell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.optim import Optimizer

from vqgen.batch import CodeBatch, Condition, FileImage, ImageBatch
from vqgen.drawing import Incremental, KnownCodes, Sampler, Sampling
from vqgen.nn.posteriors.posterior import PosteriorSample
from vqgen.optim import Objective


class _OnDevice(Protocol):
    @property
    def device(self) -> torch.device:
        """Where it computes."""


@runtime_checkable
class Autoencoder(_OnDevice, Protocol):
    """Images to a code and back: one vector, or maps of codes."""

    shape: Sequence[int]

    def encode(self, x: Float[Tensor, "b c h w"]) -> Tensor | list[Tensor]:
        """The code of images in [-1, 1]."""

    def decode(self, z: Tensor | Sequence[Tensor | None]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1] for codes."""

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Images through the code and back."""


@runtime_checkable
class LatentAutoencoder(Autoencoder, Protocol):
    """An image is one vector to it."""

    latent_dim: int

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The vector of images in [-1, 1], without noise."""


@runtime_checkable
class Variational(LatentAutoencoder, Protocol):
    """A vector is drawn from a posterior, and images from a prior p(z)."""

    importance_samples: int

    def infer(self, x: Float[Tensor, "b c h w"]) -> PosteriorSample:
        """A draw of z from the posterior of each image."""

    def generate(self, num_samples: int, seed: int = 0, first: int = 0) -> Float[Tensor, "b c h w"]:
        """Images decoded from z ~ p(z)."""

    def bound(self, x: Float[Tensor, "b c h w"], num_samples: int) -> "Bound":
        """Lower bounds of each image."""

    def named(self, name: str, bound: "Bound") -> dict[str, Tensor]:
        """A bound averaged over images, in nats and in bits/dim, by name."""


class Bound(NamedTuple):
    """Lower bounds in nats, of `log_prob` and `log_mass` of images: of what the likelihood says, and of their bytes."""

    log_prob: Float[Tensor, "*b"]
    log_mass: Float[Tensor, "*b"]


@runtime_checkable
class Tokenizer(Autoencoder, Protocol):
    """Images to maps of codes and back; levels stand top first, of any grids."""

    grids: Sequence[Sequence[int]]
    num_embeddings: Sequence[int]
    codes_per_place: int
    """Codes of each place of a level, side by side in its map."""

    @property
    def level_names(self) -> list[str]:
        """Names of the levels."""

    def encode(self, x: Float[Tensor, "b c h w"]) -> list[Int[Tensor, "b _ _"]]:
        """Code maps of images in [-1, 1]."""

    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """By what the codes are chosen: a map of each level, or one of all."""

    def nearest(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Int[Tensor, "b _ _"]]:
        """The code maps of features."""

    def code_vectors(self, level: int) -> Float[Tensor, "k d"]:
        """The vectors that stand for the codes of a level."""

    def code_images(self, level: int, codes: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
        """Images of maps that are of one code each at a level, all else being zero vectors."""

    def decode_output(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b o h w"]:
        """The parameters of the likelihood for code maps; None, or left out at the end: a level of zero vectors."""


@runtime_checkable
class Prior(_OnDevice, Protocol):
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
class PriorOfLevels(_OnDevice, Protocol):
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
class Classifier(FeatureNetwork, _OnDevice, Protocol):
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


@runtime_checkable
class Split(Protocol):
    """The images of a split and their classes."""

    @property
    def images(self) -> Sequence[ndarray]:
        """As bytes."""

    @property
    def labels(self) -> Int[ndarray, " n"] | None:
        """The class of each; None without classes."""

    @property
    def given(self) -> Mapping[str, ndarray]:
        """All that is known of each, by name."""


@runtime_checkable
class Images(Protocol):
    """The images that a run was trained on."""

    shape: Sequence[int]

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of an image that are no border."""

    def split(self, name: str) -> Split:
        """The images of train, val or test."""

    def batch(self, name: str, index: Int[ndarray, " b"]) -> ImageBatch:
        """Those at `index`, in [-1, 1]."""

    def from_file(self, path: str | Path, channels: int | None = None) -> FileImage:
        """A file, prepared as the images of the splits are."""

    def variance(self) -> float:
        """Of all training pixels."""

    def attributes(self, split: str) -> "Attributes | None":
        """Named numbers of every image, where there are any."""


@runtime_checkable
class RecordedImages(Images, Protocol):
    """Images that tell what was read of them, for a checkpoint, and compare it where they are opened again."""

    class_names: Sequence[str]
    compare: Callable[["RecordedImages", str], None] | None

    @property
    def origin(self) -> str:
        """Where they come from."""
        ...

    def record(self, split: str) -> dict[str, object]:
        """What was read of a split, as plain data."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A model that others are trained on."""

    def identity(self) -> dict[str, Tensor]:
        """By name, what makes it mean something else to those when it changes."""
        ...

    def rules(self) -> list[str]:
        """What else does, and is in no tensor."""
        ...


@runtime_checkable
class Attributes(Protocol):
    """Named numbers of every image of a split."""

    names: list[str]
    values: Float[ndarray, "n a"]
