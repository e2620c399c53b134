"""What happens every few epochs happens at the validations that there are."""

from unittest.mock import Mock

import pytest
import pytorch_lightning as pl

from vqgen.training.turns import is_due


def turns(n: int, every: int, check_val: int = 1, max_steps: int = -1, at_first: bool = True) -> list[int]:
    """The epochs in which it is due, of n epochs of 10 steps, a validation every `check_val`."""
    return [
        epoch
        for epoch in range(check_val, n + 1, check_val)
        if is_due(
            Mock(
                spec=pl.Trainer,
                current_epoch=epoch - 1,
                check_val_every_n_epoch=check_val,
                max_epochs=n if max_steps < 0 else -1,
                max_steps=max_steps,
                global_step=10 * epoch,
            ),
            every,
            at_first,
        )
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n": 12, "every": 5}, [1, 5, 10, 12]),
        ({"n": 12, "every": 5, "at_first": False}, [5, 10, 12]),
        ({"n": 12, "every": 5, "check_val": 2}, [2, 6, 10, 12]),
        ({"n": 12, "every": 5, "check_val": 3}, [3, 6, 12]),
        ({"n": 8, "every": 5, "max_steps": 80}, [1, 5, 8]),
        ({"n": 3, "every": 1}, [1, 2, 3]),
    ],
)
def test_turns_come_with_the_validations_after_every_n_epochs_and_with_the_last(given, expected):
    assert turns(**given) == expected
