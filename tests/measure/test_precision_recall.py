"""Precision and recall, density and coverage: against prdc, brute force and sets where they are known."""

import pytest
import torch

from vqgen.measure.metrics import neighbors
from vqgen.measure.metrics.density_coverage import density_coverage
from vqgen.measure.metrics.precision_recall import precision_recall


def _sets(n: int = 400, m: int = 300, dims: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, dims) + 5, 0.9 * torch.randn(m, dims) + 5.3


@pytest.mark.parametrize("k", [1, 3, 5])
def test_all_four_agree_with_prdc(k: int, monkeypatch: pytest.MonkeyPatch):
    prdc = pytest.importorskip("prdc")
    monkeypatch.setattr(neighbors, "CHUNK_DISTANCES", 5000)
    real, generated = _sets()
    theirs = prdc.compute_prdc(real.numpy(), generated.numpy(), nearest_k=k)
    ours = precision_recall(real, generated, k)._asdict() | density_coverage(real, generated, k)._asdict()
    assert {name: float(value) for name, value in ours.items()} == pytest.approx(theirs, abs=1e-6)


def test_a_set_covers_itself():
    real, _ = _sets()
    assert precision_recall(real, real) == (1.0, 1.0)
    assert density_coverage(real, real).coverage == 1.0


def test_sets_far_apart_share_nothing():
    real, _ = _sets()
    assert precision_recall(real, real + 100) == (0.0, 0.0)
    assert density_coverage(real, real + 100) == (0.0, 0.0)


def test_one_mode_of_two_has_full_precision_and_half_recall():
    torch.manual_seed(0)
    modes = torch.randn(200, 2), torch.randn(200, 2) + 100
    precision, recall = precision_recall(torch.cat(modes), modes[0])
    assert (precision, recall) == (1.0, 0.5)


def test_density_is_about_one_for_equal_distributions():
    torch.manual_seed(0)
    assert density_coverage(torch.randn(2000, 4), torch.randn(2000, 4)).density == pytest.approx(1.0, abs=0.05)


def test_an_outlier_among_the_real_raises_density_less_than_precision():
    # arXiv 2002.09797, figure 3: balls of outliers are large, and one is enough for precision
    torch.manual_seed(0)
    real = torch.cat([torch.randn(100, 2), torch.tensor([[40.0, 0.0]])])
    generated = torch.randn(100, 2) * 0.1 + torch.tensor([20.0, 0.0])
    assert precision_recall(real, generated).precision == 1.0
    assert density_coverage(real, generated).density <= 0.2


def test_too_few_vectors_are_refused():
    with pytest.raises(ValueError, match="3 feature vectors have no 3 nearest"):
        precision_recall(torch.randn(3, 2), torch.randn(9, 2), 3)


def _duplicates(rounds: int) -> torch.Tensor:
    """Vectors of which some occur several times, and others at equal distances."""
    torch.manual_seed(0)
    few = torch.randn(30, 6) + 100
    grid = torch.cartesian_prod(*[torch.arange(5.0)] * 3)
    return torch.cat([*[few] * rounds, few[:7], torch.nn.functional.pad(grid, (0, 3))])


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(1024, 4),
        torch.full((600, 3), 1234.567),
        _duplicates(1),
        _duplicates(4),
        _sets()[0],
    ],
    ids=["equal", "equal far from zero", "few duplicates", "many duplicates", "none"],
)
def test_equal_sets_have_a_density_of_one_and_all_else_in_full_whatever_occurs_twice(x: torch.Tensor):
    density, coverage = density_coverage(x, x.flip(0))
    assert float(density) == pytest.approx(1.0)
    assert coverage == 1.0
    assert precision_recall(x, x.flip(0)) == (1.0, 1.0)


def test_a_generated_vector_at_the_rim_of_equal_real_ones_counts_in_part():
    real = torch.cat([torch.zeros(20, 2), torch.randn(20, 2, generator=torch.Generator().manual_seed(0)) + 50])
    generated = torch.cat([torch.zeros(10, 2), torch.full((10, 2), -50.0)])
    assert float(density_coverage(real, generated).density) == pytest.approx(0.5)
    assert density_coverage(real, generated).coverage == 0.5
