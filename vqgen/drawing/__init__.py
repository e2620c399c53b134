"""Drawing from priors: the ways to draw a map, and networks position by position."""

from vqgen.drawing.codes import sample_codes
from vqgen.drawing.conditioned_network import ConditionedNetwork
from vqgen.drawing.fixed_point import FixedPoint
from vqgen.drawing.guidance import IntervalGuidance, LinearGuidance
from vqgen.drawing.incremental import Incremental, Recompute, begin, twin_of
from vqgen.drawing.masked import Confidence, Halton
from vqgen.drawing.raster import Raster
from vqgen.drawing.sampler import Draw, Sampler
from vqgen.drawing.sampling import NEUTRAL, KnownCodes, Sampling, sample_seeds
from vqgen.drawing.stepwise import StepwiseGatedPixelCNN, StepwisePixelCNN, StepwisePixelSNAIL, StepwiseTransformer

__all__ = [
    "NEUTRAL",
    "ConditionedNetwork",
    "Confidence",
    "Draw",
    "FixedPoint",
    "Halton",
    "Incremental",
    "IntervalGuidance",
    "KnownCodes",
    "LinearGuidance",
    "Raster",
    "Recompute",
    "Sampler",
    "Sampling",
    "StepwiseGatedPixelCNN",
    "StepwisePixelCNN",
    "StepwisePixelSNAIL",
    "StepwiseTransformer",
    "begin",
    "sample_codes",
    "sample_seeds",
    "twin_of",
]
