"""Encoders and decoders: images to maps or vectors, and back."""

from vqgen.nn.autoencoders.conv import ConvDecoder, ConvEncoder
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder, FlatNormConvDecoder, FlatNormConvEncoder
from vqgen.nn.autoencoders.mlp import MLPDecoder, MLPEncoder
from vqgen.nn.autoencoders.residual import Decoder, Encoder

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "Decoder",
    "Encoder",
    "FlatConvDecoder",
    "FlatConvEncoder",
    "FlatNormConvDecoder",
    "FlatNormConvEncoder",
    "MLPDecoder",
    "MLPEncoder",
]
