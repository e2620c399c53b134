"""Quantizers: one file for each way to learn or to do without a codebook."""

from vqgen.nn.quantize.base import Quantization, Quantizer, VectorQuantizer, of_level
from vqgen.nn.quantize.binary import BSQ, LFQ
from vqgen.nn.quantize.cosine import CosineEMAQuantizer
from vqgen.nn.quantize.diveq import DiVeQ
from vqgen.nn.quantize.ema import EMAQuantizer
from vqgen.nn.quantize.fsq import FSQ
from vqgen.nn.quantize.gradient import GradientQuantizer
from vqgen.nn.quantize.gumbel import GumbelQuantizer
from vqgen.nn.quantize.ibq import IBQ
from vqgen.nn.quantize.rotation import RotationEMAQuantizer
from vqgen.nn.quantize.simvq import SimVQ

__all__ = [
    "BSQ",
    "FSQ",
    "IBQ",
    "LFQ",
    "CosineEMAQuantizer",
    "DiVeQ",
    "EMAQuantizer",
    "GradientQuantizer",
    "GumbelQuantizer",
    "Quantization",
    "Quantizer",
    "RotationEMAQuantizer",
    "SimVQ",
    "VectorQuantizer",
    "of_level",
]
