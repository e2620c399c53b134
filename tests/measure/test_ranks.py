"""Feature sets spread over two processes measure what one process measures."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vqgen.measure.metrics.features import FeatureSets
from vqgen.measure.metrics.precision_recall import precision_recall


def _sets() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(41, 3, generator=generator), torch.randn(31, 3, generator=generator) + 0.5


def _measure(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    metric = FeatureSets(precision_recall)
    for features, real in zip(_sets(), (True, False), strict=True):
        metric.update(features[rank::2], real=real)
    torch.save(tuple(metric.compute()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_measure_what_one_does(tmp_path: Path):
    mp.spawn(_measure, (str(tmp_path),), nprocs=2)
    expected = tuple(precision_recall(*_sets()))
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)] == [expected, expected]
