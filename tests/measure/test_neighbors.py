"""Nearest neighbours in chunks against the full matrix of distances."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from vqgen.measure.metrics import neighbors
from vqgen.measure.metrics.features import kernel_distance
from vqgen.measure.metrics.neighbors import nearest, squared_distances, squared_radii


def radii(x: torch.Tensor, k: int) -> torch.Tensor:
    return squared_radii(x, k).sqrt().to(x)


@pytest.fixture(params=[64, 10**6], ids=["many chunks", "one chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "CHUNK_DISTANCES", request.param)


@pytest.mark.usefixtures("chunks")
def test_the_nearest_are_those_of_the_full_matrix():
    torch.manual_seed(0)
    queries, references = torch.randn(23, 5), torch.randn(31, 5)
    expected = torch.cdist(queries, references).topk(4, largest=False)
    found = nearest(queries, references, 4)
    assert torch.equal(found.index, expected.indices)
    assert torch.allclose(found.distance, expected.values, atol=1e-5)


@pytest.mark.usefixtures("chunks")
def test_a_radius_reaches_to_the_kth_other_vector():
    torch.manual_seed(0)
    x = torch.randn(29, 3)
    assert torch.allclose(radii(x, 3), torch.cdist(x, x).sort(1).values[:, 3], atol=1e-5)


def test_a_duplicate_is_a_neighbour():
    assert torch.equal(radii(torch.tensor([[1.0], [1.0], [4.0]]), 1), torch.tensor([0.0, 0.0, 3.0]))


def test_vectors_far_from_zero_keep_their_distances():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    assert torch.allclose(radii(x + 10000, 1), torch.tensor([5.0, 5.0, 5.0]), atol=1e-3)


def test_no_more_than_a_chunk_of_distances_is_held(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neighbors, "CHUNK_DISTANCES", 100)
    sizes = [squared.numel() for _, squared in squared_distances(torch.randn(50, 2), torch.randn(40, 2))]
    assert max(sizes) <= 100
    assert sum(sizes) == 50 * 40


def test_too_few_vectors_are_refused():
    with pytest.raises(ValueError, match="give more than 3"):
        radii(torch.randn(3, 2), 3)
    with pytest.raises(ValueError, match="too few"):
        nearest(torch.randn(3, 2), torch.randn(2, 2), 3)


@pytest.mark.parametrize(
    "measure",
    [
        lambda x: nearest(x, x, 1),
        lambda x: radii(x, 1),
        lambda x: kernel_distance(x, x, subsets=1),
    ],
)
def test_distances_are_taken_in_full_precision_whatever_the_training_takes(measure: Callable[[torch.Tensor], Any]):
    seen: list[str] = []

    class Seen(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function in (torch.addmm, torch.Tensor.__matmul__, torch.Tensor.matmul):
                seen.append(torch.get_float32_matmul_precision())
            return function(*args, **(kwargs or {}))

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with Seen():
            measure(torch.randn(20, 4))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {"highest"}


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e4])
def test_distances_are_those_of_float64_wherever_the_vectors_lie(offset: float):
    """Two groups of vectors far from each other, so that no one centre is near to all."""
    torch.manual_seed(0)
    x = torch.randn(60, 8) + offset
    x[::2] -= 2 * offset
    exact = (x.double()[:, None] - x.double()).norm(dim=2).sort(1).values
    assert torch.allclose(radii(x, 4).double(), exact[:, 4], rtol=1e-6)
    assert torch.allclose(
        nearest(x[:30] + 0.5, x, 1).distance[:, 0].double(),
        ((x[:30] + 0.5).double()[:, None] - x.double()).norm(dim=2).min(1).values,
        rtol=1e-6,
    )
