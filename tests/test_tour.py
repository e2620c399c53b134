"""The notebook of the documentation runs."""

import json

import pytest
from matplotlib.figure import Figure

from tests.data.test_idx import INSTALLED
from tests.tour import TOUR, cells, results


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_every_cell_of_the_tour_shows_what_it_kept():
    notebook = json.loads(TOUR.read_text())
    code = list(cells(notebook))
    assert len(code) == 10
    for cell, result in zip(code, results(notebook), strict=True):
        kept = cell["outputs"][0]["data"]
        assert ("image/png" in kept) == isinstance(result, Figure)
        if isinstance(result, str):
            assert kept["text/plain"] == [repr(result)]
