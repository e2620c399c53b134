from zlib import crc32

import numpy as np
import pytest
import torch

from vqgen.batch import from_bytes
from vqgen.data.loading.order import ShuffledOrder
from vqgen.data.sources.drawn import COLOURS, Factors
from vqgen.data.sources.outlines import DISTANCES, SYMMETRY
from vqgen.data.sources.shapes import Shapes, draw_factors, render
from vqgen.errors import DataError


def shapes(size=32, seed=0, shape=None, num_train=300, num_val=60):
    shape = shape or (3, size, size)
    return Shapes(size, shape, num_train, num_val, num_test=40, batch_size=16, seed=seed, num_workers=0)


def plane(extent, steps):
    across = np.linspace(-extent, extent, steps, dtype=np.float32)
    return [coordinate[None] for coordinate in np.meshgrid(across, across)]


def one(shape, size=64, **changes):
    """A single yellow figure in the middle of a white ground."""
    factors = {"x": 0.0, "y": 0.0, "rotation": 0.0, "size": 0.8, **changes}
    numbers = {name: np.array([value], np.float32) for name, value in factors.items()}
    kind = np.array([list(DISTANCES).index(shape)])
    return render(Factors(kind, np.array([2]), np.array([0]), **numbers), size, size)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_have_gradient_one_almost_everywhere(name):
    distance = DISTANCES[name](*plane(1.5, 401))[0]
    down, across = np.gradient(distance, 3 / 400)
    assert np.isclose(np.hypot(down, across), 1, atol=0.02).mean() > 0.97


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("circle", np.pi * 0.81),
        ("square", 2),
        ("triangle", 3**1.5 / 4),
        ("ring", np.pi * (0.94**2 - 0.5**2)),
        ("star", 5 * 0.45 * np.sin(np.pi / 5)),
        ("cross", 2 * 1.9 * 0.6 - 0.36),
    ],
)
def test_figures_have_the_area_of_their_formula_in_pixels_too(name, area):
    assert np.isclose((DISTANCES[name](*plane(1.2, 2401)) < 0).mean() * 2.4**2, area, rtol=5e-3)
    x = one(name).astype(float)[0, 2]  # in the blue channel, ground 242 and figure 66
    covered = ((242 - x) / (242 - 66)).sum() / 32**2 / 0.8**2
    assert np.isclose(covered, area, rtol=0.02)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_whole_turn_of_the_rotation_factor_brings_the_figure_back_onto_itself(name):
    there, back, half = one(name), one(name, rotation=1.0), one(name, rotation=0.5)
    assert np.abs(there.astype(int) - back.astype(int)).max() <= 1
    assert (np.abs(there.astype(int) - half.astype(int)).max() > 50) == (SYMMETRY[name] > 1)


def test_an_image_is_a_function_of_seed_and_index():
    many = draw_factors(np.arange(1000), 3)
    few = draw_factors(np.array([999, 5]), 3)
    assert np.array_equal(render(few, 24, 24), render(many, 24, 24)[[999, 5]])
    assert not np.array_equal(render(many, 24, 24), render(draw_factors(np.arange(1000), 4), 24, 24))


def test_pictures_are_the_same_on_every_machine():
    x = render(draw_factors(np.arange(64), 0), 16, 16)
    assert int(x.astype(np.int64).sum()) == 6970022


def test_images_labels_attributes_and_records_are_those_that_runs_were_trained_on():
    images = shapes(size=64, seed=7)
    split, attributes = images.split("val"), images.attributes("val")
    sums = [crc32(values.tobytes()) for values in (split.images, split.labels, attributes.values)]
    assert sums == [2697717290, 1522556070, 2538655438]
    assert images.key == "shapes-64x64-9983894b1150"
    assert images.source() == {"numbers": {"train": 300, "val": 60, "test": 40}, "seed": 7, "drawn": 3733918358}
    assert images.record("train") == {"images": 300, "digest": "a80ad605bc1e55ea"}
    assert images.record("test") == {"images": 40, "digest": "af6600d3fab8b075"}


def test_pictures_at_another_size_are_the_same_but_finer():
    factors = draw_factors(np.arange(50), 0)
    coarse = render(factors, 32, 32).astype(float)
    fine = render(factors, 128, 128).reshape(50, 3, 32, 4, 32, 4).mean((3, 5))
    assert np.abs(fine - coarse).mean() < 1


def test_the_whole_figure_lies_inside_the_image():
    x = shapes().split("train").images
    border = [x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]]
    assert all((side == x[:, :, 0, :1]).all() for side in border)


def test_splits_share_no_image():
    images = shapes(num_train=2000)
    pictures = {x.tobytes() for name in ("train", "val", "test") for x in images.split(name).images}
    assert len(pictures) == 2100


def test_labels_and_attributes_are_the_factors():
    images = shapes()
    labels, attributes = images.split("train").labels, images.attributes("train")
    assert set(labels) == set(range(len(images.class_names)))
    assert attributes.names == images.facts()["attribute_names"]
    assert attributes.values.shape == (300, len(attributes.names))
    assert (attributes.values[:, : len(COLOURS)].sum(1) == 1).all()
    x = attributes.values[:, attributes.names.index("x")]
    pixels = images.split("train").images.astype(float)
    differs = np.abs(pixels - pixels[:, :, :1, :1]).sum((1, 2))
    centre = (differs * (np.arange(32) - 15.5) / 16).sum(1) / differs.sum(1)
    assert np.abs(centre - x).max() < 0.1


def test_facts_hold_what_only_the_data_know():
    images = shapes()
    x = from_bytes(torch.from_numpy(images.split("train").images)).double()
    facts = images.facts()
    assert facts["variance"] == pytest.approx(x.var(unbiased=False).item(), rel=1e-5)
    assert facts["num_classes"] == 6
    assert facts["class_names"] == ["circle", "square", "triangle", "star", "ring", "cross"]


def test_batches_are_numbers_from_minus_one_to_one_after_the_transfer():
    images = shapes()
    batch = next(iter(images.val_dataloader()))
    assert batch.pixels.dtype == torch.uint8
    moved = images.on_after_batch_transfer(batch, 0)
    assert moved.x.dtype == torch.float32
    assert moved.x.min() >= -1
    assert moved.x.max() <= 1
    assert torch.equal(moved.x, images.batch("val", batch.index.numpy()).x)
    assert torch.equal(moved.label, torch.from_numpy(images.split("val").labels)[batch.index])


def test_the_key_changes_with_what_decides_the_images_and_with_nothing_else():
    keys = [shapes().key, shapes(seed=1).key, shapes(size=16).key, shapes(num_val=61).key]
    assert len(set(keys)) == 4
    assert Shapes(32, (3, 32, 32), 300, 60, 40, batch_size=99, seed=0, num_workers=3).key == keys[0]


def test_sizes_that_disagree_are_an_error():
    with pytest.raises(DataError, match=r"asks for images of \[3, 16, 16\], and Shapes has \[3, 32, 32\]"):
        shapes(shape=(3, 16, 16)).split("train")
    with pytest.raises(DataError, match=r"data\.num_val=0: a split has at least 1 image"):
        shapes(num_val=0)
    with pytest.raises(DataError, match="three sizes"):
        shapes(shape=(32, 32))
    with pytest.raises(DataError, match="'valid'"):
        shapes().split("valid")


@pytest.mark.parametrize("epoch", range(8))
def test_the_training_order_knows_nothing_of_what_the_images_show(epoch):
    data = shapes(num_train=5000)
    order = ShuffledOrder(5000, 5000, seed=0).batch(epoch, 0)
    for name, factor in data.factors("train")._asdict().items():
        correlation = np.corrcoef(factor[order], np.arange(5000))[0, 1]
        assert abs(correlation) < 0.06, f"{name} follows the place in epoch {epoch}"
