"""The fast twins of networks: each activation computed once, and the machinery under them."""

from vqgen.drawing.stepwise.at_once import AtOnce
from vqgen.drawing.stepwise.gated_pixelcnn import StepwiseGatedPixelCNN
from vqgen.drawing.stepwise.pixelcnn import StepwisePixelCNN
from vqgen.drawing.stepwise.pixelsnail import StepwisePixelSNAIL
from vqgen.drawing.stepwise.rq_transformer import StepwiseRQTransformer
from vqgen.drawing.stepwise.transformer import StepwiseTransformer

__all__ = [
    "AtOnce",
    "StepwiseGatedPixelCNN",
    "StepwisePixelCNN",
    "StepwisePixelSNAIL",
    "StepwiseRQTransformer",
    "StepwiseTransformer",
]
