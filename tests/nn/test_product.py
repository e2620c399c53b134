"""Every way to multiply a few vectors with a matrix gives the product."""

import pytest
import torch
import torch.nn.functional as F

from vqgen.nn.product import PackedProduct, PlainProduct, VectorProduct, product


@pytest.mark.parametrize("num_vectors", [1, 3, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(8, 6), (512, 513)])
def test_the_chosen_product_is_the_linear_map(shape, dtype, num_vectors):
    weight, bias = torch.randn(shape, dtype=dtype), torch.randn(shape[0], dtype=dtype)
    x = torch.randn(num_vectors, shape[1], dtype=dtype)
    rows = torch.randn(num_vectors, 5, shape[0], dtype=dtype)
    multiply, expected = product(weight, num_vectors), F.linear(x, weight)
    tolerance = {"rtol": 0, "atol": 1e-3 if dtype == torch.float32 else 1e-10}
    torch.testing.assert_close(multiply.linear(x, bias), expected + bias, **tolerance)
    before = rows.clone()
    torch.testing.assert_close(multiply.add(rows[:, 2], x), before[:, 2] + expected, **tolerance)
    torch.testing.assert_close(rows[:, 2], before[:, 2] + expected, **tolerance)
    assert torch.equal(rows[:, 3], before[:, 3])


def test_a_large_matrix_gets_the_product_for_its_vectors():
    weight = torch.randn(512, 512)
    assert isinstance(product(weight[:8], 16), PlainProduct)
    assert isinstance(product(weight[:8], 1), PlainProduct)
    assert isinstance(product(weight, 1), VectorProduct)
    packed = PackedProduct if PackedProduct.serves(weight) else PlainProduct
    assert isinstance(product(weight, 16), packed)
    assert isinstance(product(weight.double(), 16), PlainProduct)
