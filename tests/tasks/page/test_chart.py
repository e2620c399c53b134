"""Charts: where values lie in the drawing, and what the axes name."""

import re

import pytest

from vqgen.pictures.plots import MINUS
from vqgen.tasks.page.chart import BOTTOM, HEIGHT, LEFT, MOST_POINTS, TOP, Chart, Series, text, thinned
from vqgen.tasks.page.curves import curves, duration, seconds


def test_the_least_and_greatest_values_lie_inside_and_upwards_is_more():
    chart = Chart("x", [Series("a", [(0.0, 1.0), (100.0, 3.0)])])
    first, last = chart.y.place(1.0), chart.y.place(3.0)
    assert TOP < last < first < HEIGHT - BOTTOM
    assert chart.x.place(0.0) == LEFT
    assert chart.x.place(100.0) == chart.right


def test_values_of_many_magnitudes_are_on_a_log_axis_with_round_names():
    chart = Chart("x", [Series("a", [(1.0, 0.001), (2.0, 1.0)])])
    assert chart.y.log
    assert {tick.text for tick in chart.y.ticks} >= {"0.01", "0.1"}
    places = [chart.y.place(value) for value in (0.01, 0.1, 1.0)]
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], abs=0.2)


@pytest.mark.parametrize(
    "values", [[5.0, 5.0], [0.0, 0.0], [-1e-12, 1e-12], [1e9, 2e9], [5e-324, 5e-324], [5e-324, 1e308], [5e-324, 1e-310]]
)
def test_every_range_has_ticks_within_the_drawing(values: list[float]):
    chart = Chart("x", [Series("a", list(enumerate(values)))])  # type: ignore[arg-type]
    assert chart.y.ticks
    assert all(TOP <= tick.at <= HEIGHT - BOTTOM for tick in chart.y.ticks)


def test_a_plane_has_one_scale_on_both_axes():
    chart = Chart("z", [Series("a", [(-1.0, 0.0), (1.0, 0.1)], "dots")], square=True)
    across, upwards = chart.x.place(1.0) - chart.x.place(0.0), chart.y.place(0.0) - chart.y.place(1.0)
    assert across == pytest.approx(upwards, abs=0.3)


def test_dots_are_a_mark_each_and_lines_keep_their_ends():
    points = [(float(i), float(i)) for i in range(1000)]
    assert len(re.findall("h0", Chart("x", [s := Series("a", points, "dots")]).path(s))) == 1000
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 1
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_the_few_values_of_an_option_are_those_that_are_named():
    chart = Chart("x", [Series("", [(0.0003, 1.0), (0.001, 2.0), (0.01, 3.0)], "dots")])
    assert [tick.text for tick in chart.x.ticks] == ["0.0003", "0.001", "0.01"]
    named = Chart("x", [Series("", [(0.0, 1.0), (1.0, 2.0)], "dots")], categories=["ema", "rotation"])
    assert [tick.text for tick in named.x_ticks] == ["ema", "rotation"]


@pytest.mark.parametrize(
    ("value", "short"), [(0.0, "0"), (1234.5, "1,234"), (25000.0, "25k"), (2e6, "2e+06"), (-1.5, f"{MINUS}1.5")]
)
def test_numbers_of_axes_are_short(value: float, short: str):
    assert text(value) == short


def test_training_and_validation_of_a_figure_are_one_chart_and_the_monitored_one_is_first():
    rows = [
        {"step": float(s), "train/loss": 1.0, "val/loss": 2.0, "val/psnr": float(s), "lr-Adam": 0.1} for s in range(3)
    ]
    found = curves(rows, "val/psnr")
    assert [chart.title for chart in found] == ["psnr", "loss", "lr-Adam"]
    assert [one.name for one in found[1].series] == ["train", "val"]
    assert curves([{"step": 1.0, "val/loss": 2.0}]) == []  # one point is no curve


def test_the_time_of_a_training_is_its_images_by_its_speed():
    rows = [{"epoch": float(e), "train/images_per_second": 50.0} for e in (0, 1)]
    assert seconds(rows, 100) == pytest.approx(4.0)
    assert seconds(rows, 0) is None
    assert seconds([], 100) is None
    assert [duration(s) for s in (40.0, 720.0, 12600.0)] == ["40 s", "12 min", "3.5 h"]
