"""Random numbers of the ranks of a run that goes on with another number of them."""

from typing import Any
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch

from vqgen.training import Record
from vqgen.training.record import _random_state, _set_random_state

EPOCHS = {count: {"ready": 1, "processed": 0, "completed": 0} for count in ("total", "current")}
MODEL = Mock(spec=pl.LightningModule, device=torch.device("cpu"))


def _state(seed: int) -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _random_state(MODEL.device)


def _drawn(rank: int, world_size: int, states: list[dict[str, Any]]) -> float:
    """What a rank draws first after a resume; before it every rank is seeded alike."""
    trainer = Mock(
        spec=pl.Trainer,
        global_rank=rank,
        world_size=world_size,
        global_step=5,
        checkpoint_callbacks=[],
        train_dataloader=None,
    )
    record = Record({"seed": 3}, None, {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        record.on_load_checkpoint(
            trainer,
            MODEL,
            {
                "vqgen": {"random_states": states},
                "callbacks": {},
                "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": EPOCHS}},
            },
        )
        record.on_train_start(trainer, MODEL)
        return float(torch.rand(()))


def test_more_ranks_than_there_were_draw_numbers_of_their_own_and_it_is_said():
    states = [_state(1), _state(2)]
    with pytest.warns(UserWarning, match="the run had 2 processes and goes on with 4"):
        drawn = [_drawn(rank, 4, states) for rank in range(4)]
    assert len(set(drawn)) == 4
    assert drawn[:2] == [_drawn(rank, 2, states) for rank in range(2)]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_that_goes_on_on_another_kind_of_device_draws_new_numbers_there_on_every_rank(
    rank: int, monkeypatch: pytest.MonkeyPatch
):
    """What a checkpoint of the CPU holds is no state of a GPU, whose numbers would begin as the run's first, alike."""
    seeds, manual_seed = [], torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeds.append(seed) or manual_seed(seed))
    _drawn(rank, 2, [_state(1), _state(2)])
    begun = seeds[-1]
    assert begun not in (0, 3)
    _drawn(1 - rank, 2, [_state(1), _state(2)])
    assert seeds[-1] != begun


def test_the_numbers_of_a_gpu_of_apple_are_kept(monkeypatch: pytest.MonkeyPatch):
    kept: list[torch.Tensor] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([7]))
    monkeypatch.setattr(torch.mps, "set_rng_state", kept.append)
    _set_random_state(_random_state(torch.device("mps")), torch.device("mps"))
    assert kept == [torch.tensor([7])]
    _set_random_state(_random_state(torch.device("cpu")), torch.device("mps"))
    assert len(kept) == 1


def test_fewer_ranks_go_on_with_the_first_ones_and_it_is_said():
    states = [_state(1), _state(2)]
    with pytest.warns(UserWarning, match="the run had 2 processes and goes on with 1"):
        assert _drawn(0, 1, states) == _drawn(0, 2, states)


def test_ranks_that_drew_the_same_in_a_run_of_before_do_not_go_on_so():
    states = [_state(1), _state(1)]
    drawn = [_drawn(rank, 2, states) for rank in range(2)]
    assert drawn[0] != drawn[1]
    assert drawn[0] == _drawn(0, 2, [_state(1), _state(2)])
