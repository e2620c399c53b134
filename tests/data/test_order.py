import multiprocessing

import numpy as np
import pytest
import torch.distributed as dist

from vqgen.data.loading import order
from vqgen.data.loading.counter import bits, integers, permutation, uniform
from vqgen.data.loading.order import Place, SequentialOrder, ShuffledOrder
from vqgen.errors import DataError


@pytest.fixture
def as_rank(monkeypatch):
    return lambda rank, world_size: monkeypatch.setattr(order, "place", lambda: Place(rank, world_size))


def epoch_of(make, epoch, ranks, as_rank):
    """Batches of every rank: [k][rank]."""
    per_rank = []
    for rank in range(ranks):
        as_rank(rank, ranks)
        batches = make()
        per_rank.append([batches.batch(epoch, k) for k in range(len(batches))])
    return list(zip(*per_rank, strict=True))


def test_random_numbers_depend_on_every_part_of_the_key_and_not_on_their_neighbours():
    index = np.arange(100_000)
    draws = [uniform(index, *key) for key in [("a",), ("b",), ("a", 0), ("b", 0), ("a", 1), ("a", 0, 0), ("a", -1)]]
    correlation = np.corrcoef([*draws, np.roll(draws[0], 1)]) - np.eye(8)
    assert np.abs(correlation).max() < 0.02
    assert np.array_equal(uniform(index[7:9], "a"), draws[0][7:9])
    assert bits(np.array([0, 1]), "a", 3).tolist() == [8426912028117932335, 10527938406007528420]


def test_random_numbers_are_uniform():
    u = uniform(np.arange(200_000), "a", 5)
    assert np.allclose(np.histogram(u, 10, (0, 1))[0] / 20_000, 1, atol=0.03)
    assert set(integers(np.arange(1000), 3, "a", 1)) == {0, 1, 2}


def test_training_order_is_a_permutation_that_changes_with_seed_and_epoch():
    orders = [permutation(1000, "a", seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(np.array_equal(np.sort(o), np.arange(1000)) for o in orders)
    assert len({tuple(o) for o in orders}) == 4
    assert np.array_equal(permutation(1000, "a", 1, 1), orders[3])


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_ranks_together_see_what_one_process_sees(ranks, as_rank):
    together = epoch_of(lambda: ShuffledOrder(103, 2 * 12 // ranks, seed=7), 3, ranks, as_rank)
    alone = epoch_of(lambda: ShuffledOrder(103, 24, seed=7), 3, 1, as_rank)
    assert len(together) == len(alone) == 4
    for parts, (whole,) in zip(together, alone, strict=True):
        assert np.array_equal(np.concatenate(parts), whole)
        assert {len(part) for part in parts} == {24 // ranks}


def test_the_only_training_batch_is_kept_though_incomplete(as_rank):
    ((first, second),) = epoch_of(lambda: ShuffledOrder(5, 4, seed=0), 0, 2, as_rank)
    assert sorted([*first, *second]) == list(range(5))


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize(("n", "batch_size"), [(3, 1), (7, 1), (10, 3), (64, 8), (65, 8), (100, 200)])
def test_evaluation_sees_every_image_once_in_batches_that_are_never_empty(n, batch_size, ranks, as_rank):
    batches = epoch_of(lambda: SequentialOrder(n, batch_size), 0, ranks, as_rank)
    parts = [part for parts in batches for part in parts]
    assert np.array_equal(np.concatenate(parts), np.arange(n))
    sizes = [len(part) for part in parts]
    assert min(sizes) >= 1
    assert max(sizes) <= max(batch_size, 2)
    assert max(sizes) - min(sizes) <= 1 + (ranks > 1)


def test_fewer_images_than_processes_is_an_error(as_rank):
    as_rank(0, 3)
    with pytest.raises(DataError, match="fewer devices"):
        SequentialOrder(2, 1).batch(0, 0)
    with pytest.raises(DataError, match="no image"):
        ShuffledOrder(0, 1, 0)
    with pytest.raises(DataError, match="batch_size=0"):
        ShuffledOrder(1, 0, 0)


def _report(rank, store, queue):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    queue.put((rank, [ShuffledOrder(20, 4, seed=2).batch(1, k).tolist() for k in range(2)]))
    dist.barrier()  # a rank that leaves while the other still connects to it is taken for crashed
    dist.destroy_process_group()


def test_rank_and_world_size_are_those_of_torch_distributed(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_report, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for process in processes:
        process.start()
    batches = dict(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    alone = ShuffledOrder(20, 8, seed=2)
    assert [batches[0][k] + batches[1][k] for k in range(2)] == [alone.batch(1, k).tolist() for k in range(2)]
