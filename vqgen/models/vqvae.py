"""VQ-VAE (van den Oord et al., Neural Discrete Representation Learning, arXiv 1711.00937)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Unpack

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.models.base import check_takes
from vqgen.models.discrete_autoencoder import DiscreteAutoencoder, Forward, TokenizerOptions
from vqgen.nn.likelihoods import ReconstructionLoss
from vqgen.nn.quantize import Quantizer
from vqgen.nn.sizes import check_divisible

MAPS = "a VQ-VAE needs an encoder to, and a decoder of, maps of vectors: model/autoencoder=residual or conv"


class Networks(NamedTuple):
    """An encoder and a decoder of maps of vectors, and the height and width of the maps."""

    encoder: Any
    decoder: Any
    grid: tuple[int, int]


def networks_of(
    shape: Sequence[int],
    encoder: Callable[..., nn.Module],
    decoder: Callable[..., nn.Module],
    embedding_dim: int,
    likelihood: ReconstructionLoss,
) -> Networks:
    """The networks around a quantizer, for images of a shape.

    Raises:
        ValueError: one does not fit the other, or the images.
    """
    for make in (encoder, decoder):
        check_takes("in_channels", make, MAPS)
    channels, height, width = shape
    encoding: Any = encoder(in_channels=channels, out_channels=embedding_dim)
    factor = encoding.downsampling
    check_divisible((height, width), factor)
    decoding: Any = decoder(in_channels=embedding_dim, out_channels=likelihood.num_outputs(channels))
    if decoding.upsampling != factor:
        raise ValueError(f"the decoder's upsampling={decoding.upsampling} must be the downsampling={factor}")
    return Networks(encoding, decoding, (height // factor, width // factor))


class VQVAE(DiscreteAutoencoder):
    """One map of discrete codes: the one-level tokenizer.

    Args:
        shape: (channels, height, width) of the images; the encoder's `downsampling` must divide height and width.
        encoder: makes the encoder, images to `z_e`, from `in_channels` and `out_channels`.
        quantizer: `z_e` to the nearest code vectors.
        decoder: makes the decoder, `z_q` to the likelihood's parameters, from `in_channels` and `out_channels`.
        likelihood: compares the decoder's output with the image.
        model: optimizer, schedule and critic.
    """

    def __init__(
        self,
        shape: Sequence[int],
        encoder: Callable[..., nn.Module],
        quantizer: Quantizer,
        decoder: Callable[..., nn.Module],
        likelihood: ReconstructionLoss,
        **model: Unpack[TokenizerOptions],
    ) -> None:
        networks = networks_of(shape, encoder, decoder, quantizer.embedding_dim, likelihood)
        super().__init__(shape, [networks.grid], [quantizer.num_embeddings], likelihood, **model)
        self.encoder, self.quantizer, self.decoder = networks.encoder, quantizer, networks.decoder

    def forward(self, x: Float[Tensor, "b c h w"]) -> Forward:
        """Encode, quantise, decode (section 3.2)."""
        quantized = self.quantizer(self.encoder(x))
        return Forward(self.decoder(quantized.z_q), [quantized])

    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The encoder's output, as a list of one."""
        return [self.encoder(x)]

    @property
    def quantizers(self) -> list[Quantizer]:
        """The quantizer, as a list of one."""
        return [self.quantizer]

    def decode_output(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b o h w"]:
        """The decoder's output for a list of one code map."""
        only = codes[0]
        if only is None:
            raise ValueError("a VQ-VAE has one level, whose codes are needed")
        return self.decoder(self.quantizer.embed(only))
