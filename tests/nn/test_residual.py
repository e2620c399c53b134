import pytest
import torch

from vqgen.nn.autoencoders.residual import UPSAMPLES, Decoder, Encoder, ResidualBlock, doubling


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_the_stride_divides_comes_back(factor, channels):
    encoder = Encoder(channels, 8, 5, downsampling=factor, num_residual_blocks=1, residual_channels=4)
    decoder = Decoder(5, 8, channels, upsampling=factor, num_residual_blocks=1, residual_channels=4)
    x = torch.zeros(2, channels, 3 * factor, 2 * factor)
    assert encoder(x).shape == (2, 5, 3, 2)
    assert decoder(encoder(x)).shape == x.shape


def test_a_residual_block_with_a_zero_branch_is_the_identity():
    block = ResidualBlock(4, 2)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(block(x), x)


def test_sizes_follow_the_published_ones():
    """By hand: strided 4x4, 3x3, two blocks of 3x3 and 1x1, and the 1x1 to 64 dimensions."""
    encoder = Encoder(3, 128, 64, downsampling=4, num_residual_blocks=2, residual_channels=64)
    strided = (16 * 3 * 64 + 64) + (16 * 64 * 128 + 128)
    blocks = 2 * ((9 * 128 * 64 + 64) + (64 * 128 + 128))
    assert sum(p.numel() for p in encoder.parameters()) == (strided + (9 * 128 * 128 + 128) + blocks + (128 * 64 + 64))


def test_a_size_the_stride_does_not_divide_is_an_error_that_says_which_do():
    with pytest.raises(ValueError, match=r"30x32.*multiples of 8, such as 24x32 or 32x40"):
        Encoder(3, 8, 5, downsampling=8)(torch.zeros(1, 3, 30, 32))


@pytest.mark.parametrize("factor", [0, 1, 3, 6])
def test_a_factor_that_is_no_power_of_two_is_an_error(factor):
    with pytest.raises(ValueError, match=f"downsampling={factor} must be a power of two"):
        Encoder(3, 8, 5, downsampling=factor)
    with pytest.raises(ValueError, match=f"upsampling={factor} must be a power of two"):
        Decoder(5, 8, 3, upsampling=factor)


@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("factor", [2, 8])
def test_every_way_to_double_sides_comes_back_to_the_size(upsample: str, factor: int):
    decoder = Decoder(5, 8, 3, upsampling=factor, num_residual_blocks=1, residual_channels=4, upsample=upsample)
    assert decoder(torch.zeros(2, 5, 3, 2)).shape == (2, 3, 3 * factor, 2 * factor)


@pytest.mark.parametrize(("upsample", "woven"), [("transposed", True), ("resize", False), ("shuffle", False)])
def test_plain_ground_is_without_a_weave_at_the_start(upsample: str, woven: bool):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(doubling(upsample, 4, 4), torch.nn.ReLU(), doubling(upsample, 4, 3))
    inside = layers(torch.ones(1, 4, 8, 8))[:, :, 12:20, 12:20]  # far from the borders
    assert (inside.std(dim=(2, 3)).max() > 1e-3) == woven
    assert inside[:, :, ::4, ::4].std(dim=(2, 3)).max() < 1e-6


def test_an_unknown_way_to_double_sides_is_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"upsample=resise: no such way \(did you mean resize\?\)"):
        doubling("resise", 4, 4)
