"""Drawing vectors by their errors: the odds, and that neither ranks nor the host decide anything."""

import torch

from vqgen.nn.quantize.revival import _uniform, draw_by_error


def drawn(errors: list[float], number: int, key: int) -> list[int]:
    rows, there_are = draw_by_error(
        torch.arange(float(len(errors)))[:, None], torch.tensor(errors), number, torch.tensor(key)
    )
    assert rows.shape == (number, 1)
    return rows[: int(there_are), 0].long().tolist()


def test_the_first_is_drawn_with_odds_of_its_error():
    errors = [0.5, 0.0, 2.0, 1.5]
    first = torch.tensor([drawn(errors, 1, key)[0] for key in range(4000)])
    shares = torch.bincount(first, minlength=4) / 4000
    torch.testing.assert_close(shares, torch.tensor(errors) / 4, rtol=0, atol=0.03)


def test_the_second_is_drawn_with_the_odds_of_those_left():
    errors = [0.5, 0.25, 0.25]
    both = [drawn(errors, 2, key) for key in range(4000)]
    assert all(a != b for a, b in both)
    after_first = torch.tensor([b for a, b in both if a == 1])
    shares = torch.bincount(after_first, minlength=3) / len(after_first)
    torch.testing.assert_close(shares, torch.tensor([2 / 3, 0, 1 / 3]), rtol=0, atol=0.06)


def test_of_too_few_rows_all_are_drawn_once():
    assert sorted(drawn([1.0, 0.0, 3.0], 8, 5)) == [0, 1, 2]


def test_a_row_without_error_is_not_drawn_before_others():
    errors = torch.ones(2**20)
    errors[706624] = 0.0
    rows, _ = draw_by_error(torch.arange(2.0**20)[:, None], errors, 64, torch.tensor(15))
    assert 706624 not in rows[:, 0].long().tolist()


def test_errors_that_are_no_numbers_end_in_no_exception():
    assert len(drawn([float("nan"), float("inf"), 1.0], 2, 5)) == 2


def test_a_hash_gives_even_numbers_that_know_no_neighbour():
    u = torch.stack([_uniform(torch.arange(20_000), torch.tensor(key)) for key in (0, 1, 2**31)])
    assert u.min() > 0
    assert u.max() < 1
    torch.testing.assert_close(u.mean(1), torch.full((3,), 0.5), rtol=0, atol=0.01)
    torch.testing.assert_close(u.var(1), torch.full((3,), 1 / 12), rtol=0, atol=0.003)
    correlation = torch.corrcoef(torch.cat([u[:, :-1], u[:, 1:]]))
    assert (correlation - torch.eye(6)).abs().max() < 0.03
