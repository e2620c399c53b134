import pytest
import torch

from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder, FlatNormConvDecoder, FlatNormConvEncoder
from vqgen.nn.autoencoders.mlp import MLPDecoder, MLPEncoder

PAIRS = [(FlatConvEncoder, FlatConvDecoder), (FlatNormConvEncoder, FlatNormConvDecoder), (MLPEncoder, MLPDecoder)]


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 16, 24), (3, 8, 8)])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].__name__)
def test_an_image_becomes_features_and_a_latent_vector_an_image(pair, shape):
    encoder, decoder = pair[0](shape, [4, 6, 8]), pair[1](5, shape, 2 * shape[0], [8, 6, 4])
    assert encoder(torch.zeros(2, *shape)).shape == (2, encoder.num_features)
    assert decoder(torch.zeros(2, 5)).shape == (2, 2 * shape[0], *shape[1:])


def test_the_published_encoder_of_five_convolutions_has_features_of_2_by_2_by_64():
    assert FlatNormConvEncoder((3, 64, 64), [64] * 5).num_features == 256


def test_a_size_the_stride_does_not_divide_is_an_error_that_says_which_do():
    with pytest.raises(ValueError, match="multiples of 8, such as 24x24 or 32x32"):
        FlatConvEncoder((1, 28, 28), [4, 6, 8])
    with pytest.raises(ValueError, match="multiples of 8, such as 24x24 or 32x32"):
        FlatConvDecoder(5, (1, 28, 28), 1, [8, 6, 4])


def test_an_image_of_another_shape_is_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"\(1, 40, 40\).*\(1, 32, 32\)"):
        FlatConvEncoder((1, 32, 32), [4, 6, 8])(torch.zeros(1, 1, 40, 40))
