"""Every way to multiply a few vectors with a matrix gives the product."""

import pytest
import torch
import torch.nn.functional as F

from vqgen.drawing.stepwise.product import (
    RowConvolution,
    RowConvolutions,
    packed_product,
    plain_product,
    product,
    products,
    quickest,
    threads_pay,
)
from vqgen.environment.compat import can_arrange


@pytest.mark.parametrize("num_vectors", [1, 3, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(8, 6), (512, 513)])
def test_the_chosen_product_is_the_linear_map(shape, dtype, num_vectors):
    weight = torch.randn(shape, dtype=dtype)
    x = torch.randn(num_vectors, shape[1], dtype=dtype)
    rows = torch.randn(num_vectors, 5, shape[0], dtype=dtype)
    add, expected = product(weight, num_vectors), F.linear(x, weight)
    tolerance = {"rtol": 0, "atol": 1e-3 if dtype == torch.float32 else 1e-10}
    before = rows.clone()
    torch.testing.assert_close(add(rows[:, 2], x), before[:, 2] + expected, **tolerance)
    torch.testing.assert_close(rows[:, 2], before[:, 2] + expected, **tolerance)
    assert torch.equal(rows[:, 3], before[:, 3])


@pytest.mark.parametrize("num_vectors", [1, 3, 16])
@pytest.mark.parametrize("shape", [(8, 6), (512, 513)])
def test_products_of_many_matrices_are_those_of_each(shape, num_vectors):
    weights = [torch.randn(shape) for _ in range(3)]
    x, sums = torch.randn(3, num_vectors, 4, shape[1])[:, :, 1], torch.randn(3, num_vectors, 5, shape[0])[:, :, 2]
    before = sums.clone()
    expected = torch.stack([total + F.linear(y, w) for total, y, w in zip(before, x, weights, strict=True)])
    result = products(weights, num_vectors)(sums, x)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-3)
    assert torch.equal(sums, before)


@pytest.mark.parametrize(("num_samples", "width"), [(2, 5), (16, 20)])
def test_rows_of_many_layers_are_convolved_as_those_of_each(num_samples, width):
    taps, biases = torch.randn(4, 8, 3 * 5, 6), torch.randn(4, 8)
    rows = torch.randn(4, num_samples, 3, width + 4, 6)
    convolve = RowConvolutions([*taps], [*biases], 5, num_samples * width)
    out = torch.empty(4, num_samples, width, 8)
    for seen in (0, 1, 3):
        convolve(rows[:, :, 3 - seen :], out)
        for k in range(4):
            alone = RowConvolution(taps[k], biases[k], 5, 10**6)(rows[k, :, 3 - seen :])
            torch.testing.assert_close(out[k], alone.expand_as(out[k]), rtol=0, atol=1e-4)


def test_threads_share_large_products_only():
    assert not threads_pay([64 * 64, 64 * 128], 16)
    assert threads_pay([64 * 64, 64 * 128], 256)
    assert threads_pay([512 * 512], 1)


def test_a_large_matrix_gets_the_product_for_its_vectors():
    weight = torch.randn(512, 512)
    assert quickest(weight[:8], 16) is plain_product
    assert quickest(weight[:8], 1) is plain_product
    assert quickest(weight, 1) is plain_product
    assert quickest(weight, 16) is (packed_product if can_arrange(weight) else plain_product)
    assert quickest(weight.double(), 16) is plain_product


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_samples", "width"), [(2, 5), (6, 10), (16, 20)])
def test_every_way_to_convolve_rows_is_the_convolution(num_samples, width, dtype):
    taps, bias = torch.randn(8, 3 * 5, 6, dtype=dtype), torch.randn(8, dtype=dtype)
    rows = torch.randn(num_samples, 3, width + 4, 6, dtype=dtype)
    convolve = RowConvolution(taps, bias, 5, num_samples * width)
    kernel = taps.unflatten(1, (3, 5)).permute(0, 3, 1, 2)
    for _ in range(2):
        for seen in (3, 1, 2):
            expected = F.conv2d(rows[:, -seen:].permute(0, 3, 1, 2), kernel[:, :, -seen:], bias)
            result = convolve(rows[:, -seen:]).transpose(1, 2).unsqueeze(2)
            torch.testing.assert_close(result, expected, rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-10)
    assert torch.equal(convolve(rows[:, :0])[0, 0], bias)
