"""The weave: the part of errors on plain ground that repeats every two or four pixels."""

import math

import pytest
import torch

from vqgen.measure.metrics.reconstruction import Reconstruction
from vqgen.measure.metrics.weave import Weave


def found(x: torch.Tensor, x_hat: torch.Tensor) -> dict[str, float]:
    metric = Weave()
    for part, other in zip(x.split(7), x_hat.split(7), strict=True):
        metric.update(part, other)
    return {name: float(value) for name, value in metric.compute().items()}


def noise(size: float) -> torch.Tensor:
    return size * torch.randn(50, 3, 32, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("level", [-1.0, 0.3])
def test_errors_without_a_pattern_are_a_ripple_of_which_the_weave_has_its_share(level: float):
    x = torch.full((50, 3, 32, 24), level)
    figures = found(x, x + noise(0.1) + 0.5)  # being too light all over is no ripple
    assert figures["ripple"] == pytest.approx(12.75 * (63 / 64) ** 0.5, rel=0.02)
    assert figures["weave"] == pytest.approx(figures["ripple"] * (15 / 63) ** 0.5, rel=0.02)


@pytest.mark.parametrize("period", [2, 4])
def test_a_pattern_is_all_weave(period: int):
    x, board = torch.zeros(50, 3, 32, 24), torch.zeros(32, 24)
    board[::period, ::period] = 0.1
    figures = found(x, x + board)
    assert figures["weave"] == pytest.approx(figures["ripple"], rel=1e-5)
    assert figures["weave"] == pytest.approx(127.5 * board.std(correction=0).item(), rel=1e-5)


def test_a_slope_and_other_periods_are_none():
    x = torch.zeros(4, 1, 32, 24)
    waves = 0.1 * torch.sin(2 * math.pi * torch.arange(24) / 8)
    assert found(x, x + waves)["weave"] == pytest.approx(0.0, abs=1e-4)
    assert found(x, x + waves)["ripple"] > 1


def test_only_plain_blocks_count():
    x = noise(0.5)
    x[:, :, :8, :8] = 0.25
    x_hat = x + noise(0.1).flip(0)
    x_hat[:, :, :8, :8] = x[:, :, :8, :8]
    assert found(x, x_hat) == {"weave": 0.0, "ripple": 0.0}
    errors = Reconstruction((32, 24), 1.0)
    errors.update(noise(0.5), x_hat)  # nothing is plain
    assert "weave" not in errors.compute()
    errors.update(x, x_hat)
    assert errors.compute()["weave"] == 0.0
