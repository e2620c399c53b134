"""Figures: numbers as they are read, and text that fits."""

from itertools import pairwise

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vqgen.pictures import plots
from vqgen.pictures.plots import MINUS

IMAGES = torch.zeros(4, 1, 8, 8)


def test_numbers_have_a_true_minus_and_zero_has_no_sign():
    assert plots.number(-0.125) == f"{MINUS}0.125"
    assert plots.number(0.625) == "0.625"
    assert plots.number(0.75, "+.3g") == "+0.75"
    assert plots.number(-0.0) == plots.number(0.0) == "0"
    assert plots.spread(-0.001, 1.5) == "0.00 ± 1.50"


def test_the_words_of_a_title_and_its_note_are_kept_in_lines_that_fit_the_width():
    figure = Figure(figsize=(3.0, 2.0))
    title, note = "a long name of a run, step 123,456, trained with seed 0", "what is shown in the rows and columns"
    lines = plots.heading(figure, title, note).get_suptitle().splitlines()
    assert " ".join(lines) == f"{title} {note}"
    assert max(map(len, lines)) <= 3.0 / plots.LETTER
    assert figure.get_figheight() == pytest.approx(2.0 + len(lines) * plots.LINE)


def test_no_word_of_a_title_stands_alone():
    title = "a_name_of_a_run, step 5,154, trained with seed 0, drawn with seed 0"  # one word too long for the line
    width = (len(title) - 1) * plots.LETTER
    first, second = plots.heading(Figure(figsize=(width + 0.01, 2.0)), title).get_suptitle().splitlines()
    assert abs(len(first) - len(second)) < 20


@pytest.mark.parametrize("columns", [["1", "2", "3", "4"], ["a name that is long", "b", "c", "another long name"]])
@pytest.mark.parametrize("num_rows", [1, 40])
def test_names_of_rows_and_columns_do_not_overlap(columns: list[str], num_rows: int):
    rows = {f"row {i}": IMAGES for i in range(num_rows)}
    figure = plots.labelled_rows(rows, "title", columns, "note")
    axes = figure.axes[0]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    across = [label.get_window_extent(canvas.get_renderer()) for label in axes.get_xticklabels()]
    if across[0].height < 2 * across[1].height:  # not slanted
        assert all(a.x1 < b.x0 for a, b in pairwise(across))
    down = [label.get_window_extent(canvas.get_renderer()) for label in axes.get_yticklabels()]
    assert all(a.y0 > b.y1 for a, b in pairwise(down))
    assert [label.get_text() for label in axes.get_xticklabels()] == columns


def test_many_rows_or_columns_stay_on_a_page():
    for rows in ({str(i): IMAGES for i in range(60)}, {"one": torch.zeros(80, 1, 8, 8)}):
        width, height = plots.labelled_rows(rows, "title").get_size_inches()
        assert width < plots.WIDTH + 2
        assert height < plots.HEIGHT + 2


def test_pixels_stay_squares_until_there_are_more_than_dots():
    small, large = (plots.titled({"": torch.zeros(3, side, side)}, "title") for side in (64, 4096))
    assert small.axes[0].images[0].get_interpolation() == "nearest"
    assert large.axes[0].images[0].get_interpolation() != "nearest"
