"""What the page of task=explore computes, and who may ask for it."""

import asyncio
import shlex
from typing import Any

import pytest
import torch

from tests.conftest import composed
from tests.tasks import tiny
from vqgen.drawing import Sampling
from vqgen.errors import UserError
from vqgen.tasks.complete import code_mask
from vqgen.tasks.explore.cells import cell_at
from vqgen.tasks.explore.explore import Explore
from vqgen.tasks.words import Opened, of_sampling

pytest.importorskip("nicegui")

from tests.tasks.served import run as run_of  # these need NiceGUI
from vqgen.tasks.explore.completion import disc, overlay
from vqgen.tasks.explore.controls import can_guide
from vqgen.tasks.explore.latent_space import SIDE, view_of
from vqgen.tasks.explore.page import Page
from vqgen.tasks.explore.reconstruction import Through, place_at, told
from vqgen.tasks.explore.server import OnlyLocal


def test_a_command_line_says_what_the_controls_say():
    sampling = Sampling([0.5, 1.0], [None, 3], 0.95, 2.0, seed=123456789)
    opened = Opened(["runs/a b", "runs/c"], {"data_root": "/where/it is"})
    line = opened.command("sample", label="t-shirt", num_samples=16, **of_sampling(sampling))
    cfg = composed([word for word in shlex.split(line)[2:] if not word.startswith("task=")], "sample")
    assert (list(cfg.temperature), list(cfg.top_k), cfg.top_p) == ([0.5, 1.0], [None, 3], 0.95)
    assert (cfg.guidance, cfg.seed, cfg.label, cfg.num_samples) == (2.0, 123456789, "t-shirt", 16)
    assert list(cfg.run) == ["runs/a b", "runs/c"]
    assert cfg.data_root == "/where/it is"


@pytest.mark.parametrize("name", ["a b'c=d.png", "[1].png", "x${y}.png", 'q"t,{.png', "null"])
def test_any_file_is_told(name: str):
    cfg = composed(shlex.split(Opened("runs/x").command("reconstruct", images=[name]))[2:], "sample")
    assert list(cfg.images) == [name]


def test_latent_vectors_are_told_whole():
    z = torch.randn(64, generator=torch.Generator().manual_seed(0))
    line = Opened("runs/x").command("latents", points=[z.tolist()])
    cfg = composed(shlex.split(line)[2:], "sample")
    assert torch.equal(torch.tensor(list(cfg.points[0])), z)


def test_what_was_not_asked_for_is_not_in_the_command_line():
    assert of_sampling(Sampling(seed=3)) == {"seed": 3}
    assert of_sampling(Sampling([1.0, 1.0], top_k=[None, 5])) == {"top_k": [None, 5], "seed": 0}
    assert (
        Opened("runs/x")
        .command("complete", label=None, keep="mask.png")
        .endswith("task=complete keep=mask.png run=runs/x")
    )


def test_points_of_an_image_are_in_their_cells():
    for y in range(12):
        for x in range(8):
            cell = cell_at((12, 8), (3, 2), x + 0.5, y + 0.5)
            assert (cell.row, cell.column) == (y // 4, x // 4)
            assert cell.top <= y + 0.5 <= cell.top + cell.height
            assert cell.left <= x + 0.5 <= cell.left + cell.width
    assert cell_at((12, 8), (3, 2), 8.0, 12.0)[:2] == (2, 1)  # the very edge


def test_a_code_is_told_with_its_share_and_rank():
    codes = [torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])]  # two places a row, of two codes each
    through = Through(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8), codes)
    place = place_at(through, 0, 2, 7.0, 5.0)
    assert (place.code, place.cell.row, place.cell.column, place.depth) == (7, 1, 1, 1)
    assert place.cell[2:] == (4, 4, 4, 4)
    counts = torch.tensor([0, 0, 5, 0, 0, 0, 0, 15])
    assert told(place, "top", counts) == (
        "top: code 7, row 1, column 1, depth 1; 75.00% of the codes of test images, number 1 of 8 by use"
    )


def test_a_stroke_hides_the_pixels_within_the_brush_and_the_overlay_shows_the_cells_that_are_drawn():
    hidden = disc(torch.Size([16, 16]), 5.0, 9.0, 2.0)
    for y, x in hidden.nonzero().tolist():
        assert (x + 0.5 - 5) ** 2 + (y + 0.5 - 9) ** 2 <= 4
    assert int(hidden.sum()) == 12
    drawn = torch.zeros(16, 16)
    for shape in overlay(hidden, (4, 4), 1).split("/>")[:-1]:
        box = {key: float(value.strip('"')) for key, _, value in (word.partition("=") for word in shape.split()[1:5])}
        x, y, w, h = (int(box[key]) for key in ("x", "y", "width", "height"))
        drawn[y : y + h, x : x + w] += 1
    expected = (~code_mask(~hidden, (4, 4))).float().repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("dimensions", [2, 5])
def test_a_click_moves_a_vector_to_its_pixel_and_nowhere_beside_the_plane(dimensions: int):
    z = torch.randn(200, dimensions, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, dimensions + 1)
    view, one = view_of(z), z[3]
    moved = view.moved(one, 100.0, 300.0)
    assert torch.allclose(view.pixel(moved), torch.tensor([100.0, 300.0]), atol=1e-3)
    beside = moved - one - ((moved - one) @ view.axes.T) @ view.axes
    assert beside.abs().max() < 1e-5
    inside = ((view.pixel(z) >= 0) & (view.pixel(z) <= SIDE)).all(1).float().mean()
    assert inside > 0.95


def test_a_page_has_the_panels_that_its_run_can_fill():
    assert [p.title for p in Page(run_of("vae"), Opened("x")).panels] == [
        "Samples",
        "Latent space",
        "Reconstruction",
        "Between two",
    ]
    assert [p.title for p in Page(run_of("vqvae2"), Opened("x")).panels] == [
        "Samples",
        "Completion",
        "Reconstruction",
        "Between two",
        "Likelihood",
    ]
    alone = tiny.trained(tiny.vqvae2())
    assert [p.title for p in Page(alone, Opened("x")).panels] == ["Reconstruction", "Between two"]
    assert can_guide(run_of("vqvae2"))
    assert not can_guide(tiny.trained(tiny.vqvae2(), tiny.priors(0)))


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({"host": "127.0.0.1:80"}, True),
        ({"host": "localhost:80", "origin": "http://localhost:80"}, True),
        ({"host": "127.0.0.1:80", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        ({"host": "127.0.0.1:80", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),
        ({"host": "evil.example:80"}, False),
        ({"host": "127.0.0.1:81"}, False),
        ({"host": "127.0.0.1:80", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:80", "origin": "null"}, False),
        ({}, False),
    ],
)
def test_only_the_page_itself_may_ask(kind: str, headers: dict[str, str], let_in: bool):
    reached, sent = [], []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message.get("status", message["type"]))

    scope = {"type": kind, "headers": [(key.encode(), value.encode()) for key, value in headers.items()]}
    asyncio.run(OnlyLocal(page, 80)(scope, None, send))
    assert reached == ([kind] if let_in else [])
    assert sent == ([] if let_in else ["websocket.close"] if kind == "websocket" else [403, "http.response.body"])


def test_of_a_single_dimension_the_plane_is_a_line():
    view = view_of(torch.randn(50, 1, generator=torch.Generator().manual_seed(0)))
    moved = view.moved(torch.zeros(1), 100.0, 300.0)
    assert torch.allclose(view.pixel(moved), torch.tensor([100.0, SIDE / 2]), atol=1e-3)


def test_a_port_is_one():
    with pytest.raises(UserError, match="port=70000"):
        Explore(port=70000)
