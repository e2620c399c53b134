"""Completion: what is kept stays, and masks are what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tasks import tiny
from vqgen.data.sources.shapes import Shapes
from vqgen.drawing import Sampling
from vqgen.errors import UserError
from vqgen.tasks.complete import Complete, code_mask, kept


def test_codes_of_the_kept_part_are_kept_in_every_level_and_the_rest_is_drawn_anew():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(len(tiny.shapes().class_names)))
    tasks = [Complete("top", images=[0, 3], num_samples=3, sampling=Sampling(seed=seed)) for seed in (0, 1)]
    first, second = (task(run).arrays for task in tasks)
    own = run.autoencoder.encode(run.batch([0, 3]).x)
    for name, codes, half in (("codes/top", own[0], 1), ("codes/bottom", own[1], 2)):
        expected = codes.repeat_interleave(3, 0).numpy()
        assert (first[name][:, :half] == expected[:, :half]).all()
        assert (first[name][:, half:] != second[name][:, half:]).any()


def test_a_code_is_kept_where_each_of_its_pixels_is():
    mask = torch.rand(12, 8, generator=torch.Generator().manual_seed(0)) > 0.1
    for grid in ((3, 2), (6, 4), (12, 8)):
        h, w = 12 // grid[0], 8 // grid[1]
        found = code_mask(mask, grid)
        for y in range(grid[0]):
            for x in range(grid[1]):
                assert found[y, x] == mask[y * h : y * h + h, x * w : x * w + w].all()


def _no_file(*_: object, **__: object) -> None:
    raise AssertionError("no file is asked for")


def test_codes_side_by_side_have_the_pixels_of_their_place():
    mask = torch.ones(6, 8, dtype=torch.bool)
    mask[0, 3] = False
    kept = code_mask(mask, (3, 12), per_place=3)
    assert torch.equal(kept[0], torch.tensor([True] * 3 + [False] * 3 + [True] * 6))
    assert kept[1:].all()


def test_a_part_is_a_half_or_a_box():
    assert kept("left", (4, 6), False, _no_file)[:, :3].all()
    assert not kept("left", (4, 6), False, _no_file)[:, 3:].any()
    box = kept([0.25, 0.5, 0.75, 1.0], (4, 6), False, _no_file)
    assert box.nonzero().tolist() == [[y, x] for y in (1, 2) for x in (3, 4, 5)]
    assert torch.equal(kept([0.25, 0.5, 0.75, 1.0], (4, 6), True, _no_file), ~box)


class _Bordered(Shapes):
    """Images of 16x16 that are 12x12 in a border."""

    native = (12, 12)


def test_a_mask_file_is_prepared_as_the_data_are_and_its_edge_goes_on_in_the_border(tmp_path: Path):
    run = tiny.trained(tiny.vqvae2(), tiny.priors(0))
    for side in (16, 48):  # as large as the images, and enlarged, as a photograph it was made for
        top = np.zeros((side, side), np.uint8)
        top[: side // 2] = 255
        Image.fromarray(top).save(tmp_path / "mask.png")
        expected = kept("top", (16, 16), False, _no_file)
        assert torch.equal(kept(str(tmp_path / "mask.png"), (16, 16), False, run.from_file), expected)
    run = run._replace(images=lambda: _Bordered(16, (3, 16, 16), 8, 8, 8, batch_size=8, seed=0, num_workers=0))
    Image.fromarray(top[::4, ::4]).save(tmp_path / "mask.png")  # 12x12
    assert torch.equal(kept(str(tmp_path / "mask.png"), (16, 16), False, run.from_file), expected)


@pytest.mark.parametrize("keep", ["topp", [0.5, 0.0, 0.5, 1.0], [0.0, 0.0, 1.0]])
def test_what_is_no_part_is_named(keep: str | list[float]):
    with pytest.raises(UserError, match="keep="):
        kept(keep, (4, 4), False, _no_file)
