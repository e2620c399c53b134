"""Learning-rate schedules over the planned steps."""

import pytest

from vqgen.optim.schedules import Constant, Cosine


def test_warm_up_rises_linearly_and_ends_at_the_base_rate():
    schedule = Constant(warmup_steps=3)
    assert [schedule(step, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_no_schedule_is_zero_before_the_last_planned_step():
    for schedule in (Constant(), Cosine(), Cosine(warmup_steps=10, final_factor=0.0)):
        assert all(schedule(step, 1000) > 0 for step in range(1000))


def test_the_cosine_halves_in_the_middle_and_ends_at_its_final_factor():
    schedule = Cosine(warmup_steps=0, final_factor=0.1)
    assert schedule(0, 1000) == pytest.approx(1.0)
    assert schedule(500, 1000) == pytest.approx(0.55)
    assert schedule(1000, 1000) == pytest.approx(0.1)


def test_without_a_planned_end_the_cosine_stays_at_the_base_rate():
    assert Cosine()(10**6, float("inf")) == 1.0
