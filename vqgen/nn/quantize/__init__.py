"""Quantizers: one file for each way to learn or to do without a codebook."""

from vqgen.nn.quantize.base import Quantized, Quantizer
from vqgen.nn.quantize.ema import EMAQuantizer
from vqgen.nn.quantize.gradient import GradientQuantizer

__all__ = ["EMAQuantizer", "GradientQuantizer", "Quantized", "Quantizer"]
