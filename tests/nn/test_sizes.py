"""Sizes with which no network can be made are named, in one line."""

from functools import partial

import pytest

from vqgen.nn.autoencoders.conv import ConvDecoder, ConvEncoder
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatNormConvEncoder
from vqgen.nn.autoencoders.mlp import MLPDecoder, MLPEncoder
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.posteriors.flows import IAF
from vqgen.nn.posteriors.posterior import DiagonalGaussian, IAFPosterior
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.resnet import ResNet
from vqgen.nn.sizes import check_divisible

SHAPE = (1, 16, 16)
STACKS = [
    partial(ConvEncoder, 1, out_channels=4),
    partial(ConvDecoder, 4, out_channels=1),
    partial(FlatNormConvEncoder, SHAPE),
    partial(FlatConvDecoder, 2, SHAPE, 1),
    partial(MLPEncoder, SHAPE),
    partial(MLPDecoder, 2, SHAPE, 1),
    partial(IAF, 4, context_dim=2, num_steps=1),
    partial(ResNet, 1, 2),
]


@pytest.mark.parametrize("widths", [[], [8, 0], [-1]])
@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.func.__name__)
def test_a_stack_without_layers_or_of_layers_without_channels_is_an_error(stack, widths):
    with pytest.raises(ValueError, match="hidden_channels=") as error:
        stack(hidden_channels=widths)
    assert str(widths) in str(error.value)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (partial(Encoder, 1, out_channels=4, downsampling=4), "hidden_channels", 1),
        (partial(Encoder, 1, 8, 4, 4), "residual_channels", 0),
        (partial(Decoder, 4, 8, 1, 4), "num_residual_blocks", -1),
        (partial(IAFPosterior, 8, 4, context_dim=2, hidden_channels=[8]), "num_steps", 0),
        (partial(IAFPosterior, 8, 4, hidden_channels=[8]), "context_dim", 0),
        (partial(DiagonalGaussian, 8), "latent_dim", 0),
        (partial(GatedPixelCNN, 8), "hidden_channels", 0),
        (partial(GatedPixelCNN, 8), "kernel_size", 4),
        (partial(GatedPixelCNN, 8), "dropout", -0.1),
        (partial(PixelSNAIL, 8), "kernel_size", 2),
        (partial(PixelSNAIL, 8), "num_heads", 0),
        (partial(PixelSNAIL, 8), "dropout", 1.0),
        (partial(PixelCNN, 8), "num_output_layers", -1),
        (partial(Conditioner, (4, 4)), "label_dropout", -1.0),
        (partial(ResNet, 1, 2), "dropout", -0.5),
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_it(make, name, value):
    with pytest.raises(ValueError, match=f"^{name}={value} must be "):
        make(**{name: value})


@pytest.mark.parametrize(
    ("sides", "named"), [((30, 28), "28x28 or 32x32"), ((2, 28), "4x28 or 4x32"), ((33, 34), "32x32 or 36x36")]
)
def test_a_size_that_is_not_divided_names_sizes_that_are(sides, named):
    with pytest.raises(ValueError, match=f"{sides[0]}x{sides[1]}.*multiples of 4, such as {named}"):
        check_divisible(sides, 4)


def test_a_size_below_the_stride_is_told_one_size_once():
    with pytest.raises(ValueError, match=r"28x28.*multiples of 32, such as 32x32$"):
        check_divisible((28, 28), 32)
