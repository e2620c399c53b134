"""Networks of priors: logits of each code given others, those before it or those that are not masked."""

from vqgen.nn.priors.causal import RasterConv2d
from vqgen.nn.priors.conditioner import Conditioner, LabelEmbedding
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.network import AutoregressiveNetwork, Layered, MaskedNetwork, code_nats
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.priors.rq_transformer import RQTransformer
from vqgen.nn.priors.scale_transformer import ScaleTransformer
from vqgen.nn.priors.transformer import MaskedTransformer, Transformer

__all__ = [
    "AutoregressiveNetwork",
    "Conditioner",
    "GatedPixelCNN",
    "LabelEmbedding",
    "Layered",
    "MaskedNetwork",
    "MaskedTransformer",
    "PixelCNN",
    "PixelSNAIL",
    "RQTransformer",
    "RasterConv2d",
    "ScaleTransformer",
    "Transformer",
    "code_nats",
]
