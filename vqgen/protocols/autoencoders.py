"""What tasks, measures and callbacks may ask of autoencoders, and of any model that others are trained on."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vqgen.nn.posteriors.posterior import PosteriorSample


class OnDevice(Protocol):
    """A model that is somewhere."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""


@runtime_checkable
class Autoencoder(OnDevice, Protocol):
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
class Identified(Protocol):
    """A model that others are trained on."""

    def identity(self) -> dict[str, Tensor]:
        """By name, what makes it mean something else to those when it changes."""
        ...

    def rules(self) -> list[str]:
        """What else does, and is in no tensor."""
        ...
