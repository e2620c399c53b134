"""Two real processes against one process on the joined batch."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from vqgen.nn.distributed import draw_rows
from vqgen.nn.quantize import EMAQuantizer, ema, kmeans

NUM_UPDATES = 30


def joined_batches():
    """Batches that move, so that some codes die, and whose rows fall to the ranks in unequal shares."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(5, 4, 6, 6, generator=generator) + 0.2 * step for step in range(NUM_UPDATES)]


def train(share):
    quantizer = EMAQuantizer(24, 4, decay=0.7, revive_below=0.2)
    for z_e in joined_batches():
        quantizer(z_e[share])
    rows = draw_rows(torch.arange(15.0)[share, None], 6, torch.Generator().manual_seed(3))
    return {**quantizer.state_dict(), "drawn": rows}


def train_unlike(rank, share):
    """As `train`, where the second rank would draw other rows, start elsewhere and see other codes dead."""
    quantizer = EMAQuantizer(24, 4, decay=0.7, revive_below=0.2)
    if rank == 1:
        draw, k_means = ema.draw_by_error, kmeans.k_means
        ema.draw_by_error = lambda *args: (lambda rows, there_are: (rows + 1, there_are))(*draw(*args))
        kmeans.k_means = lambda *args: kmeans.Clusters(*(value + 1 for value in k_means(*args)))
        quantizer.revive_below = 1e-9
    for z_e in joined_batches():
        quantizer(z_e[share])
    return quantizer.state_dict()


def run_rank(rank, folder):
    torch.manual_seed(rank)
    timeout = timedelta(seconds=60)  # a rank that waits for another in vain is an error
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timeout)
    share = slice(0, 3) if rank == 0 else slice(3, None)
    torch.save(train(share), f"{folder}/{rank}.pt")
    torch.save(train_unlike(rank, share), f"{folder}/unlike{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def spawned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(run_rank, args=(folder,), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def ranks(spawned):
    return [torch.load(spawned / f"{rank}.pt") for rank in range(2)]


def test_two_ranks_end_with_the_same_codebook(ranks):
    for name, value in ranks[0].items():
        assert torch.equal(value, ranks[1][name]), name


def test_two_ranks_end_with_the_codebook_of_one_process_on_the_joined_batch(ranks):
    single = train(slice(None))
    for name in ("codebook", "counts", "sums", "num_updates"):
        torch.testing.assert_close(ranks[0][name], single[name], rtol=1e-5, atol=1e-5)


def test_rank_zero_decides_the_start_which_codes_are_dead_and_where_they_are_put(spawned, ranks):
    unlike = [torch.load(spawned / f"unlike{rank}.pt") for rank in range(2)]
    for name, value in unlike[0].items():
        assert torch.equal(value, unlike[1][name]), name
        assert torch.equal(value, ranks[0][name]), name


def test_the_batches_of_this_test_make_codes_die(monkeypatch):
    revivals, draw = [], ema.draw_by_error
    monkeypatch.setattr(ema, "draw_by_error", lambda *args: (revivals.append(1), draw(*args))[1])
    train(slice(None))
    assert len(revivals) >= 5


def test_rows_are_drawn_from_the_joined_batch(ranks):
    assert torch.equal(ranks[0]["drawn"], train(slice(0, 15))["drawn"])
