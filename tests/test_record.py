"""Random numbers of the ranks of a run that goes on with another number of them."""

from typing import Any
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch

from vqgen.training import Record
from vqgen.training.record import _random_state

EPOCHS = {count: {"ready": 1, "processed": 0, "completed": 0} for count in ("total", "current")}
MODEL = Mock(spec=pl.LightningModule, device=torch.device("cpu"))


def _state(seed: int) -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _random_state(MODEL.device)


def _drawn(rank: int, world_size: int, states: list[dict[str, Any]]) -> float:
    """What a rank draws first after a resume; before it every rank is seeded alike."""
    trainer = Mock(
        spec=pl.Trainer, global_rank=rank, world_size=world_size, global_step=5, checkpoint_callbacks=[],
        train_dataloader=None,
    )
    record = Record({"seed": 3}, None, {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        record.on_load_checkpoint(trainer, MODEL, {
            "vqgen": {"random_states": states}, "callbacks": {},
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": EPOCHS}},
        })  # fmt: skip
        record.on_train_start(trainer, MODEL)
        return float(torch.rand(()))


def test_more_ranks_than_there_were_draw_numbers_of_their_own_and_it_is_said():
    states = [_state(1), _state(2)]
    with pytest.warns(UserWarning, match="the run had 2 processes and goes on with 4"):
        drawn = [_drawn(rank, 4, states) for rank in range(4)]
    assert len(set(drawn)) == 4
    assert drawn[:2] == [_drawn(rank, 2, states) for rank in range(2)]


def test_fewer_ranks_go_on_with_the_first_ones_and_it_is_said():
    states = [_state(1), _state(2)]
    with pytest.warns(UserWarning, match="the run had 2 processes and goes on with 1"):
        assert _drawn(0, 1, states) == _drawn(0, 2, states)


def test_ranks_that_drew_the_same_in_a_run_of_before_do_not_go_on_so():
    states = [_state(1), _state(1)]
    drawn = [_drawn(rank, 2, states) for rank in range(2)]
    assert drawn[0] != drawn[1]
    assert drawn[0] == _drawn(0, 2, [_state(1), _state(2)])
