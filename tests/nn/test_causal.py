"""The convolutions see what their names say, and have their bias everywhere."""

import pytest
import torch
import torch.nn.functional as F

from vqgen.nn.priors.causal import (
    CausalConv2d,
    MaskedConv2d,
    PastConv2d,
    PastVerticalConv2d,
    PointwiseConv2d,
    VerticalConv2d,
)
from vqgen.nn.priors.pixelcnn import OneHotConv2d

LAYERS = {
    "causal": (lambda: CausalConv2d(2, 3, 3, 5), lambda dr, dc: -2 <= dr < 0 or (dr == 0 and dc <= 0)),
    "past": (lambda: PastConv2d(2, 3, 3, 5), lambda dr, dc: -2 <= dr < 0 or (dr == 0 and dc < 0)),
    "past row": (lambda: PastConv2d(2, 3, 1, 5), lambda dr, dc: dr == 0 and dc < 0),
    "causal row": (lambda: CausalConv2d(2, 3, 1, 5), lambda dr, dc: dr == 0 and dc <= 0),
    "vertical": (lambda: VerticalConv2d(2, 3, 3, 5), lambda dr, dc: -2 <= dr <= 0),
    "past vertical": (lambda: PastVerticalConv2d(2, 3, 3, 5), lambda dr, dc: -2 <= dr < 0),
    "one row above": (lambda: PastVerticalConv2d(2, 3, 2, 5), lambda dr, dc: dr == -1),
    "mask B": (lambda: MaskedConv2d(2, 3, 5), lambda dr, dc: -2 <= dr < 0 or (dr == 0 and dc <= 0)),
    "mask A": (lambda: OneHotConv2d(2, 3, 5), lambda dr, dc: -2 <= dr < 0 or (dr == 0 and dc < 0)),
    "pointwise": (lambda: PointwiseConv2d(2, 3), lambda dr, dc: dr == dc == 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_sees_exactly_the_taps_of_its_name(name):
    build, sees = LAYERS[name]
    layer, (height, width) = build(), (7, 9)
    x = torch.randn(1, 2, height, width, requires_grad=True)
    (seen,) = torch.autograd.grad(layer(x)[0, :, 4, 5].sum(), x)
    for row in range(height):
        for column in range(width):
            expected = abs(column - 5) <= 2 and sees(row - 4, column - 5)
            assert bool(seen[0, :, row, column].any()) == expected


@pytest.mark.parametrize("name", LAYERS)
def test_the_bias_stands_everywhere_also_in_the_first_row_and_column(name):
    layer = LAYERS[name][0]()
    out = layer(torch.zeros(1, 2, 4, 6))
    torch.testing.assert_close(out, layer.bias.view(1, -1, 1, 1).expand(1, -1, 4, 6))


def test_a_masked_convolution_is_the_convolution_with_a_masked_kernel():
    layer = MaskedConv2d(2, 3, 3)
    kernel = torch.cat([layer.above, layer.own], dim=1).unflatten(1, (3, 3)).permute(0, 3, 1, 2)
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]])
    x = torch.randn(2, 2, 5, 4)
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel * mask, layer.bias, padding=1))


def test_a_masked_convolution_stores_the_whole_square_and_writes_none_of_it():
    layer = MaskedConv2d(2, 3, 3)
    assert sum(p.numel() for p in layer.parameters()) == 3 * 2 * 9 + 3
    before = layer.own.detach().clone()
    layer(torch.randn(2, 2, 5, 4)).sum().backward()
    assert torch.equal(layer.own, before)
    assert layer.own.grad[:, 2:].abs().max() == 0


def test_a_look_up_of_codes_is_the_convolution_of_their_one_hot_vectors():
    layer = OneHotConv2d(6, 4, 7).double()
    codes = torch.randint(6, (3, 5, 8))
    one_hot = F.one_hot(codes, 6).permute(0, 3, 1, 2).double()
    torch.testing.assert_close(layer.lookup(codes), layer(one_hot))


def test_weight_normalisation_counts_only_the_taps_that_are_seen():
    layer = CausalConv2d(2, 3, 3, 3)
    assert layer.taps.shape == (3, 3 + 3 + 2, 2)
    assert layer.above.numel() + layer.own.numel() == layer.taps.numel()


def test_an_even_width_is_refused():
    with pytest.raises(ValueError, match="columns=4"):
        CausalConv2d(2, 3, 3, 4)
