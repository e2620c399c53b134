"""The autoencoder: images to one vector and back (Hinton & Salakhutdinov 2006, doi 10.1126/science.1127647)."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Unpack

from jaxtyping import Float
from torch import Tensor, nn

from vqgen.batch import ImageBatch
from vqgen.models.base import Model, ModelOptions, check_takes, image_figures
from vqgen.nn.likelihoods import ReconstructionLoss
from vqgen.nn.sizes import check_at_least
from vqgen.optim import Objective, weighted

VECTORS = (
    "an autoencoder with one latent vector needs an encoder to, and a decoder of, vectors: "
    "model/autoencoder=flat_conv, flat_norm_conv or mlp"
)


class VectorEncoder(Protocol):
    """Images to a feature vector."""

    num_features: int

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f"]:
        """The features of images in [-1, 1]."""


class LatentModel(Model[ImageBatch]):
    """Base of the autoencoders with one latent vector: `encode` to it, `decode` from it.

    Args:
        shape: (channels, height, width) of the images.
        latent_dim: numbers in the latent vector; 2 can be drawn as a plane.
        encoder: makes the encoder, from `shape`.
        decoder: makes the decoder, from `latent_dim`, `shape` and `out_channels`.
        likelihood: compares the decoder's output with the image.
        model: optimizer and schedule.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        encoder: Callable[..., VectorEncoder],
        decoder: Callable[..., nn.Module],
        likelihood: ReconstructionLoss,
        **model: Unpack[ModelOptions],
    ) -> None:
        check_at_least(1, latent_dim=latent_dim)
        for make in (encoder, decoder):
            check_takes("shape", make, VECTORS)
        super().__init__(**model)
        self.shape = tuple(shape)
        self.latent_dim = latent_dim
        self.encoder = encoder(shape=shape)
        self.decoder = decoder(latent_dim=latent_dim, shape=shape, out_channels=likelihood.num_outputs(shape[0]))
        self.likelihood = likelihood

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The latent vector of images in [-1, 1], without noise."""
        raise NotImplementedError

    def decode(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1] for latent vectors."""
        return self.likelihood.x_hat(self.decoder(z)).clamp(-1, 1)

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1] through the latent vector and back."""
        return self.decode(self.encode(x))

    def log_evaluation(self, batch: ImageBatch, output: Tensor, stage: str, terms: dict[str, Tensor]) -> None:
        """Log named terms, and MSE and PSNR of the decoder's output."""
        x_hat = self.likelihood.x_hat(output).clamp(-1, 1)
        self.log_means(stage, terms | image_figures(x_hat, batch.x), len(batch.x))


class AE(LatentModel):
    """An autoencoder; arguments as for `LatentModel`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.head = nn.Linear(self.encoder.num_features, self.latent_dim)

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The latent vector of images in [-1, 1]."""
        return self.head(self.encoder(x))

    def objective(self, batch: ImageBatch) -> Objective:
        """The reconstruction loss."""
        return self.objective_of(batch.x, self.decoder(self.encode(batch.x)))

    def evaluate(self, batch: ImageBatch, stage: str) -> None:
        """Log the objective, MSE and PSNR."""
        output = self.decoder(self.encode(batch.x))
        self.log_evaluation(batch, output, stage, self.objective_of(batch.x, output).terms)

    def objective_of(self, x: Float[Tensor, "b c h w"], output: Float[Tensor, "b o h w"]) -> Objective:
        """The reconstruction losses of a decoder's output."""
        return weighted(self.likelihood.losses(output, x), self.likelihood.loss_weights)
