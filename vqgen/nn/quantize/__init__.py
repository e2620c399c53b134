"""Quantizers: one file for each way to learn or to do without a codebook."""

from vqgen.nn.quantize.base import Quantization, Quantizer, VectorQuantizer, of_level
from vqgen.nn.quantize.cosine import CosineEMAQuantizer
from vqgen.nn.quantize.ema import EMAQuantizer
from vqgen.nn.quantize.fsq import FSQ
from vqgen.nn.quantize.gradient import GradientQuantizer
from vqgen.nn.quantize.rotation import RotationEMAQuantizer

__all__ = [
    "FSQ",
    "CosineEMAQuantizer",
    "EMAQuantizer",
    "GradientQuantizer",
    "Quantization",
    "Quantizer",
    "RotationEMAQuantizer",
    "VectorQuantizer",
    "of_level",
]
