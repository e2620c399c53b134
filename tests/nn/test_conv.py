import pytest
import torch

from vqgen.nn.autoencoders.conv import ConvDecoder, ConvEncoder


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_small_vqvae_has_the_published_parameter_counts():
    assert num_parameters(ConvEncoder(1, [32, 64], 16)) == 19_856
    assert num_parameters(ConvDecoder(16, [64, 32], 1)) == 28_033


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(28, 28), (32, 48), (4, 4)])
def test_the_decoder_undoes_the_sizes_of_the_encoder(channels, size):
    encoder, decoder = ConvEncoder(channels, [8, 8], 5), ConvDecoder(5, [8, 8], channels)
    x = torch.zeros(2, channels, *size)
    assert encoder(x).shape == (2, 5, size[0] // 4, size[1] // 4)
    assert decoder(encoder(x)).shape == x.shape


@pytest.mark.parametrize("size", [(30, 28), (28, 2), (33, 33)])
def test_a_size_the_stride_does_not_divide_is_an_error_that_says_which_do(size):
    with pytest.raises(ValueError, match=r"multiples of 4, such as \d+x\d+ or \d+x\d+"):
        ConvEncoder(1, [8, 8], 5)(torch.zeros(1, 1, *size))
