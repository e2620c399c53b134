"""Causal networks: logits of each code given the codes before it."""

from vqgen.nn.priors.autoregressive import AutoregressiveNetwork
from vqgen.nn.priors.causal import RasterConv2d
from vqgen.nn.priors.conditioner import Conditioner, LabelEmbedding
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.priors.transformer import Transformer

__all__ = [
    "AutoregressiveNetwork",
    "Conditioner",
    "GatedPixelCNN",
    "LabelEmbedding",
    "PixelCNN",
    "PixelSNAIL",
    "RasterConv2d",
    "Transformer",
]
