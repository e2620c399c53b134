"""What is measured of priors beside their own tests."""

import pytest
import torch

from tests.tasks import tiny
from vqgen.measure.likelihood import hole, of_priors


@pytest.mark.parametrize(("grid", "inside"), [((8, 8), (4, 4)), ((4, 6), (2, 3)), ((3, 3), (2, 2)), ((1, 5), (1, 3))])
def test_a_hole_is_half_as_high_and_wide(grid: tuple[int, int], inside: tuple[int, int]):
    rows, columns = hole(grid).any(1), hole(grid).any(0)
    assert (int(rows.sum()), int(columns.sum())) == inside
    assert int(hole(grid).sum()) == inside[0] * inside[1]


@torch.no_grad()
def test_completion_is_of_the_codes_in_the_hole():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(6))
    batch = run.batch(range(20))
    found = of_priors(run.coder, run.priors, [batch])
    for name, nats in found.maps.items():
        inside = nats[hole(nats.shape)].mean().item()
        assert found.figures[f"completion_nats_per_code_{name}"] == pytest.approx(inside, rel=1e-5)
