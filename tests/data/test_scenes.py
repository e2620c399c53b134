from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import TINY, TINY_PRIOR
from tests.test_experiment import train_in
from vqgen.data.sources import outlines
from vqgen.data.sources.drawn import COLOURS, GROUNDS, Factors
from vqgen.data.sources.outlines import DISTANCES
from vqgen.data.sources.scenes import RELATIONS, Scenes, by_colour, draw_scenes, overlap, relation, render
from vqgen.data.sources.shapes import render as render_shapes
from vqgen.errors import DataError, UserError
from vqgen.runs.opening import open_trained
from vqgen.tasks import Sample


def scenes(size: int = 32, seed: int = 0, fewest: int = 2, most: int = 3, num_train: int = 300) -> Scenes:
    numbers = {"num_train": num_train, "num_val": 60, "num_test": 40, "batch_size": 16, "num_workers": 0}
    return Scenes(fewest, most, size=size, shape=(3, size, size), seed=seed, **numbers)


def of(kinds: list[str], colours: list[str], x: list[float], y: list[float], size: float = 0.4) -> Factors:
    """One scene of these shapes, the first undermost, on the light ground."""
    shape = [list(DISTANCES).index(kind) for kind in kinds]
    colour = [list(COLOURS).index(name) for name in colours]
    whole = (np.array(values)[:, None] for values in (shape, colour, [0] * len(kinds)))
    lengths = ([size] * len(kinds), x, y, [0.0] * len(kinds))
    return Factors(*whole, *(np.array(values, np.float32)[:, None] for values in lengths))


def column(images: Scenes, name: str, split: str = "train") -> np.ndarray:
    attributes = images.attributes(split)
    return attributes.values[:, attributes.names.index(name)]


@pytest.mark.parametrize("most", [1, 3, 6])
def test_a_scene_is_a_function_of_seed_and_index(most: int):
    many, few = (draw_scenes(index, 3, 1, most) for index in (np.arange(400), np.array([399, 5])))
    assert np.array_equal(render(few, 24, 24), render(many, 24, 24)[[399, 5]])
    assert np.array_equal(overlap(few), overlap(many)[[399, 5]])
    assert not np.array_equal(render(many, 24, 24), render(draw_scenes(np.arange(400), 4, 1, most), 24, 24))


def test_pictures_are_the_same_on_every_machine():
    x = render(draw_scenes(np.arange(64), 0, 2, 3), 16, 16)
    assert int(x.astype(np.int64).sum()) == 7154135


def test_pictures_at_another_size_are_the_same_but_finer():
    factors = draw_scenes(np.arange(50), 0, 2, 3)
    fine = render(factors, 128, 128).reshape(50, 3, 32, 4, 32, 4).mean((3, 5))
    assert np.abs(fine - render(factors, 32, 32)).mean() < 1


def test_a_scene_of_one_shape_is_what_the_drawn_shapes_are():
    factors = draw_scenes(np.arange(100), 0, 1, 1)
    assert np.array_equal(render(factors, 40, 40), render_shapes(factors.layer(0), 40, 40))


def test_later_shapes_lie_over_earlier_ones():
    for under, over in (("red", "blue"), ("blue", "red")):
        x = render(of(["circle", "circle"], [under, over], [0.0, 0.15], [0.0, 0.0]), 32, 32)
        assert tuple(x[0, :, 16, 16]) == COLOURS[over]
        assert tuple(x[0, :, 16, 11]) == COLOURS[under]


@pytest.mark.parametrize("most", [3, 6])
def test_whole_shapes_lie_inside_the_image(most: int):
    x = scenes(fewest=most, most=most).split("train").images
    border = [x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]]
    assert all((side == x[:, :, 0, :1]).all() for side in border)


@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (2, 3), (6, 6)])
def test_every_number_of_shapes_is_drawn_and_no_two_of_a_scene_have_one_colour(fewest: int, most: int):
    factors = draw_scenes(np.arange(2000), 0, fewest, most)
    there = factors.shape >= 0
    assert set(there.sum(0)) == set(range(fewest, most + 1))
    for colour, present in zip(factors.colour.T, there.T, strict=True):
        assert len(set(colour[present])) == present.sum()
    assert set(factors.shape[there]) == set(range(len(DISTANCES)))


@pytest.mark.parametrize("most", [2, 3, 6])
def test_centres_are_half_as_far_apart_as_those_of_shapes_that_touch(most: int):
    factors = draw_scenes(np.arange(5000), 0, most, most)
    for one, other in combinations(map(factors.layer, range(most)), 2):
        distance = np.hypot(one.x - other.x, one.y - other.y)
        assert (distance >= 0.4999 * (one.size + other.size)).all()


@pytest.mark.parametrize("most", [3, 6])
def test_a_part_of_every_shape_is_seen(most: int):
    factors = draw_scenes(np.arange(200), 0, most, most)
    whole = render(factors, 64, 64)
    for layer in range(most):
        without = render(factors._replace(shape=np.where(np.arange(most)[:, None] == layer, -1, factors.shape)), 64, 64)
        alone = render_shapes(factors.layer(layer), 64, 64)
        ground = np.array(GROUNDS, np.uint8)[factors.ground[layer]][:, :, None, None]
        area = (alone != ground).any(1).sum((1, 2))
        assert ((whole != without).any(1).sum((1, 2)) > 0.15 * area).all()


def test_overlap_is_zero_of_disjoint_shapes_and_else_the_covered_share():
    lens = 2 * 0.36**2 * np.arccos(0.25 / 0.36) - 0.5 * np.sqrt(0.36**2 - 0.25**2)
    for x, expected in ((0.37, 0.0), (0.25, lens / (2 * np.pi * 0.36**2)), (0.0, 0.5)):
        found = overlap(of(["circle", "circle"], ["red", "blue"], [-x, x], [0, 0]))
        assert found[0] == pytest.approx(expected, abs=0.01 if expected else 0)


def test_overlap_is_that_of_brute_force_at_a_finer_grid():
    factors, side = draw_scenes(np.arange(60), 0, 1, 4), 400
    across = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
    for number, found in enumerate(overlap(factors)):
        covers = np.zeros((side, side), int)
        for layer in range(4):
            shape = factors.layer(layer).of(slice(number, number + 1))
            if shape.shape[0] >= 0:
                covers += _covered(shape, across)
        assert found == pytest.approx(1 - (covers > 0).sum() / covers.sum(), abs=0.02)


def _covered(shape: Factors, across: np.ndarray) -> np.ndarray:
    """Where a shape is, by turning the plane with complex numbers."""
    name = list(DISTANCES)[shape.shape[0]]
    plane = (across[None, :] - shape.x) + 1j * (across[:, None] - shape.y)
    turned = plane * np.exp(-2j * np.pi * shape.rotation / outlines.SYMMETRY[name]) / shape.size
    u, v = turned.real.astype(np.float32), turned.imag.astype(np.float32)
    return DISTANCES[name](u[None], v[None])[0] < 0


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [(-0.3, 0.2, "left"), (0.3, -0.2, "right"), (0.2, -0.3, "above"), (-0.2, 0.3, "below")],
)
def test_the_relation_is_that_of_the_centres_of_the_first_two_by_colour(x: float, y: float, expected: str):
    kinds, colours = ["star", "ring", "cross"], ["violet", "green", "orange"]
    found = of(kinds, colours, [0.5, 0.1, 0.1 + x], [0.5, 0.1, 0.1 + y])
    assert RELATIONS[relation(found)[0]] == expected
    assert list(by_colour(found).shape[:, 0]) == [list(DISTANCES).index(kind) for kind in reversed(kinds)]


def test_a_shape_alone_has_no_relation():
    images = scenes(fewest=1, num_train=500)
    alone = column(images, "count") == 1
    given = images.split("train").others["relation"]
    assert 0 < alone.sum() < 500
    assert ((given == len(RELATIONS)) == alone).all()
    assert (sum(column(images, name) for name in RELATIONS) == ~alone).all()
    assert set(scenes(fewest=1, most=1).split("train").others["relation"]) == {len(RELATIONS)}


def test_label_attributes_and_what_is_given_are_seen_in_the_picture():
    images = scenes(size=64)
    split = images.split("train")
    areas = np.stack([_pixels(split.images, colour).sum((1, 2)) for colour in COLOURS.values()], 1)
    attributes = images.attributes("train")
    assert attributes.names == images.facts()["attribute_names"]
    assert np.array_equal(attributes.values[:, : len(COLOURS)], areas > 8)
    assert np.array_equal(column(images, "count"), (areas > 8).sum(1))
    assert np.array_equal(split.others["count"], (areas > 8).sum(1))
    apart, x, kinds = column(images, "overlap") == 0, split.images, images.factors("train")
    first, second = (np.argsort(areas <= 8, axis=1, kind="stable")[:, i] for i in range(2))
    there, other = (_centres(x, colour)[apart] for colour in (first, second))
    assert np.array_equal(split.others["relation"][apart], [_towards(*d) for d in there - other])
    layer = np.argmax(kinds.colour == first, axis=0)
    assert np.array_equal(split.labels, np.take_along_axis(kinds.shape, layer[None], 0)[0])
    assert set(split.labels) == set(range(len(images.class_names)))


def _pixels(x: np.ndarray, colour: Any) -> np.ndarray:
    return (x == np.array(colour, np.uint8)[..., None, None]).all(1)


def _centres(x: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Means of the pixels of one colour in each image, across and down."""
    found = _pixels(x, np.array(list(COLOURS.values()))[colour])
    return np.stack([np.argwhere(one).mean(0)[::-1] for one in found])


def _towards(x: float, y: float) -> int:
    return (0 if x < 0 else 1) if abs(x) >= abs(y) else (2 if y < 0 else 3)


def test_kinds_of_shape_have_a_column_each():
    images = scenes(num_train=100)
    columns = np.stack([column(images, name) for name in DISTANCES], 1)
    for row, kinds in zip(columns, images.factors("train").shape.T, strict=True):
        assert set(np.flatnonzero(row)) == set(kinds) - {-1}


def test_splits_share_no_image():
    images = scenes(size=16, num_train=2000)
    pictures = {x.tobytes() for name in ("train", "val", "test") for x in images.split(name).images}
    assert len(pictures) == 2100


def test_the_key_and_the_record_change_with_what_decides_the_images():
    kinds = [scenes(), scenes(seed=1), scenes(most=4), scenes(fewest=1), scenes(size=48)]
    assert len({images.key for images in kinds}) == 5
    assert len({str(images.record("train")) for images in kinds[:-1]}) == 4
    assert (
        scenes().reading(["val"]).line().startswith("Data of scenes drawn at 32 x 32 with seed 0, of 2 to 3 shapes: 60")
    )


MISTAKES: dict[str, dict[str, int]] = {
    r"data\.min_shapes=4: expected at most data\.max_shapes=3\.": {"fewest": 4},
    r"data\.min_shapes=0: a scene has at least 1 shape\.": {"fewest": 0},
    r"data\.max_shapes=0: expected 1 to 6, as no two have one colour\.": {"most": 0},
    r"data\.max_shapes=7: expected 1 to 6": {"most": 7},
    r"data\.size=15: shapes differ from 16 pixels on\.": {"size": 15},
    r"data\.num_train=0: a split has at least 1 image\.": {"num_train": 0},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_options_that_cannot_be_are_named_in_one_line(message: str):
    with pytest.raises(DataError, match=message) as error:
        scenes(**MISTAKES[message])
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_prior_is_given_count_and_relation_and_draws_by_them(tmp_path: Path):
    tokenizer = train_in(tmp_path / "tokenizer", ["model=vqvae", "data=scenes", *TINY, "logger=csv"])
    words = ["model=gated_pixelcnn", "model/conditioner=scenes", f"tokenizer={tokenizer}", "logger=csv", *TINY_PRIOR]
    trained = open_trained(train_in(tmp_path / "prior", words))
    batch = next(iter(trained.images().train_dataloader()))
    assert batch.given.keys() == {"label", "count", "relation"}
    samples = [Sample(4, label="ring", condition=given)(trained) for given in ({"count": 3, "relation": 1}, {})]
    assert not np.array_equal(*(outcome.arrays["samples"] for outcome in samples))
    with pytest.raises(UserError, match="relation=5: there are 4, from 0"):
        Sample(4, condition={"relation": 5})(trained)
    with pytest.raises(UserError, match="count=3: there are 3, from 0"):
        train_in(tmp_path / "few", [*words, "model.conditioner.others.count.num_classes=3"])
