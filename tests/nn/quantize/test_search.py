import pytest
import torch

from vqgen.nn.quantize.search import BLOCK, largest_product, nearest_vectors


@pytest.mark.parametrize("num_rows", [1, 63, 5000])
@pytest.mark.parametrize("num_vectors", [1, 3, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 200, 1000])
def test_what_is_found_is_that_of_brute_force(num_rows: int, num_vectors: int):
    generator = torch.Generator().manual_seed(num_vectors)
    x, vectors = (torch.randn(n, 8, generator=generator) for n in (num_rows, num_vectors))
    costs = 5 * torch.rand(num_vectors, generator=generator)
    distances = torch.stack([(x.double() - vector.double()).square().sum(dim=1) for vector in vectors], dim=1)
    assert torch.equal(nearest_vectors(x, vectors), distances.argmin(dim=1))
    assert torch.equal(nearest_vectors(x, vectors, costs), (distances + costs).argmin(dim=1))
    assert torch.equal(largest_product(x, vectors), (x.double() @ vectors.double().T).argmax(dim=1))


@pytest.mark.parametrize("rest", [1, BLOCK, 3 * BLOCK + 5])
def test_of_equally_close_vectors_the_first_is_taken(rest: int):
    vectors = torch.tensor([[5.0], [1.0], [1.0], *[[-1.0]] * rest])
    assert nearest_vectors(torch.tensor([[1.0], [0.4], [-2.0]]), vectors).tolist() == [1, 1, 3]
    assert nearest_vectors(torch.ones(3, 1), torch.ones(1000, 1)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3e38])
@pytest.mark.parametrize("num_vectors", [5, 2 * BLOCK + 3])
def test_codes_of_a_run_that_diverges_are_codes(value: float, num_vectors: int):
    x, vectors = torch.randn(20, 4), torch.randn(num_vectors, 4)
    x[::2, 1] = value
    for of_x, of_vectors in ((x, vectors), (vectors[:4], vectors * value)):
        found = nearest_vectors(of_x, of_vectors)
        assert found.min() >= 0
        assert found.max() < num_vectors
