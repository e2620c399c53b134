import pytest
import torch
from torch import nn

from vqgen.nn.autoencoders.hierarchy import HierarchyDecoder, HierarchyEncoder
from vqgen.nn.quantize import EMAQuantizer, GradientQuantizer


def networks(downsampling, dims=None, hidden_channels=8):
    dims = dims or [3 + i for i in range(len(downsampling))]
    quantizers = [GradientQuantizer(10, dim) for dim in dims]
    encoder = HierarchyEncoder(3, downsampling, quantizers, hidden_channels, 1, 4)
    return encoder, HierarchyDecoder(dims, downsampling, 3, hidden_channels, 1, 4)


@pytest.mark.parametrize("downsampling", [[2, 2], [2, 4], [4, 2], [2, 2, 2], [2, 2, 2, 4]])
def test_each_grid_is_its_factor_smaller_than_the_one_below_and_the_image_comes_back(downsampling):
    encoder, decoder = networks(downsampling)
    height, width = 2 * torch.tensor(downsampling).prod(), 3 * torch.tensor(downsampling).prod()
    levels = encoder(torch.randn(2, 3, height, width))
    sides = [2, 3]
    for level, factor in zip(levels, downsampling, strict=True):
        assert list(level.codes.shape) == [2, *sides]
        sides = [side * factor for side in sides]
    assert decoder([level.z_q for level in levels]).shape == (2, 3, height, width)


@pytest.mark.parametrize(("downsampling", "size", "grids"), [([2, 4], 256, [32, 64]), ([2, 2, 8], 1024, [32, 64, 128])])
def test_the_published_models_have_the_published_grids_and_sizes(downsampling, size, grids):
    dims = [64] * len(downsampling)
    with torch.device("meta"):
        encoder = HierarchyEncoder(3, downsampling, [EMAQuantizer(512, 64) for _ in dims], 128, 2, 64).eval()
        decoder = HierarchyDecoder(dims, downsampling, 3, 128, 2, 64)
        levels = encoder(torch.empty(1, 3, size, size))
    assert [tuple(level.codes.shape[1:]) for level in levels] == [(side, side) for side in grids]
    assert decoder([level.z_q for level in levels]).shape == (1, 3, size, size)
    for encoding in encoder.features:
        residual = [m for m in encoding.modules() if type(m).__name__ == "ResidualBlock"]
        assert len(residual) == 2
        assert residual[0].branch[1].weight.shape == (64, 128, 3, 3)


def test_the_top_codes_condition_the_level_below():
    encoder, _ = networks([2, 2], dims=[4, 4])
    z_e = []
    encoder.quantizers[1].register_forward_hook(lambda module, args, result: z_e.append(args[0].detach()))
    x = torch.randn(1, 3, 8, 8)
    encoder(x)
    with torch.no_grad():
        encoder.quantizers[0].codebook.add_(1.0)
    encoder(x)
    assert (z_e[0] - z_e[1]).abs().max() > 1e-3


def test_the_top_codes_do_not_depend_on_the_levels_below():
    encoder, _ = networks([2, 2])
    x = torch.randn(1, 3, 8, 8)
    before = encoder(x)[0].codes
    with torch.no_grad():
        encoder.quantizers[1].codebook.add_(1.0)
        encoder.heads[1].weight.add_(1.0)
    assert torch.equal(encoder(x)[0].codes, before)


def test_the_image_depends_on_every_level():
    encoder, decoder = networks([2, 2, 2])
    z_q = [level.z_q.detach().requires_grad_() for level in encoder(torch.randn(1, 3, 16, 16))]
    gradients = torch.autograd.grad(decoder(z_q).square().sum(), z_q)
    assert all((gradient != 0).all() for gradient in gradients)


def test_encoding_in_training_mode_gives_the_codes_of_a_forward_pass_and_teaches_nothing():
    quantizers = [EMAQuantizer(10, 4), EMAQuantizer(10, 4)]
    encoder = HierarchyEncoder(3, [2, 2], quantizers, 8, 1, 4)
    x = torch.randn(2, 3, 8, 8)
    encoder(x)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoded = [level.codes for level in encoder.encode(x)]
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert all(torch.equal(codes, level.codes) for codes, level in zip(encoded, encoder.eval()(x), strict=True))


def test_a_size_that_only_the_lower_levels_divide_is_an_error_that_says_which_do():
    encoder, _ = networks([2, 4])
    with pytest.raises(ValueError, match=r"12x16.*multiples of 8, such as 8x16 or 16x24"):
        encoder(torch.zeros(1, 3, 12, 16))


def test_one_projection_stands_before_each_quantizer_or_two_where_old_runs_have_them():
    for two in (False, True):
        encoder = HierarchyEncoder(3, [2, 2], [GradientQuantizer(10, 4) for _ in range(2)], 8, 1, 4, two)
        for features in encoder.features:
            assert isinstance(features.network[-1], nn.Conv2d if two else nn.ReLU)
