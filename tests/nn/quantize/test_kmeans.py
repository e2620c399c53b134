import torch

from vqgen.nn.quantize.base import nearest_vectors
from vqgen.nn.quantize.kmeans import assign, k_means


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
