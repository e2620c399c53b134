import pytest
import torch

from vqgen.nn.quantize.kmeans import assign, draw_far, k_means
from vqgen.nn.quantize.search import nearest_vectors


def identity(vectors):
    return vectors


def test_counts_and_sums_are_those_of_the_one_hot_product():
    x, codes = torch.randn(100, 3), torch.arange(100) % 7
    one_hot = torch.nn.functional.one_hot(codes, 9).float()
    assigned = assign(x, codes, 9)
    assert torch.equal(assigned.counts, one_hot.sum(dim=0))
    torch.testing.assert_close(assigned.sums, one_hot.T @ x)


def test_each_lloyd_iteration_lowers_the_squared_error():
    torch.manual_seed(0)
    x = torch.randn(500, 3)
    errors = []
    for num_iterations in range(6):
        centres = k_means(x, x[:20], num_iterations, identity).centres
        errors.append((x - centres[nearest_vectors(x, centres)]).square().sum())
    assert errors == sorted(errors, reverse=True)


def test_a_centre_without_rows_stays_where_it_is():
    start = torch.tensor([[0.0, 0.0], [100.0, 100.0]])
    clusters = k_means(torch.rand(50, 2), start, 3, identity)
    assert torch.equal(clusters.centres[1], start[1])
    assert clusters.counts.tolist() == [50.0, 0.0]


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_means_of_rows_far_from_the_origin_are_those_of_float64(offset):
    """Within a unit in the last place of float32 at the offset."""
    generator = torch.Generator().manual_seed(0)
    x, codes = torch.randn(20_000, 4, generator=generator) + offset, torch.arange(20_000) % 3
    means = torch.stack([x[codes == code].double().mean(0) for code in range(3)])
    counts, sums = assign(x, codes, 3)
    ulp = torch.finfo(torch.float32).eps * offset
    assert (sums / counts[:, None] - means).abs().max() <= ulp
    centres = k_means(x, x[:3], 1, identity).centres
    exact = torch.cdist(x.double(), x[:3].double()).argmin(1)
    expected = torch.stack([x[exact == code].double().mean(0) for code in range(3)])
    assert (centres - expected).abs().max() <= 2 * ulp


def test_rows_far_from_the_origin_are_drawn_with_odds_of_their_distance():
    x = torch.tensor([[0.0], [0.0], [3.0]]).repeat(100, 2) + 1e4
    drawn = draw_far(x, x[:1], 50, torch.Generator().manual_seed(0))
    assert (drawn == 1e4 + 3).all()
