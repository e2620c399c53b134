"""Completion: what is kept stays, and masks are what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tasks import tiny
from vqgen.errors import UserError
from vqgen.tasks.complete import Complete, code_mask, kept


def test_codes_of_the_kept_part_are_kept_in_every_level_and_the_rest_is_drawn_anew():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(len(tiny.shapes().class_names)))
    first, second = (Complete("top", images=[0, 3], num_samples=3, seed=s)(run).arrays for s in (0, 1))
    own = run.autoencoder.encode(run.batch([0, 3]).x)
    for name, codes, half in (("codes/top", own[0], 1), ("codes/bottom", own[1], 2)):
        expected = codes.repeat_interleave(3, 0).numpy()
        assert (first[name][:, :half] == expected[:, :half]).all()
        assert (first[name][:, half:] != second[name][:, half:]).any()


def test_a_code_is_kept_where_each_of_its_pixels_is():
    mask = torch.rand(12, 8, generator=torch.Generator().manual_seed(0)) > 0.1
    for grid in ((3, 2), (6, 4), (12, 8)):
        h, w = 12 // grid[0], 8 // grid[1]
        rows, columns = range(grid[0]), range(grid[1])
        brute = [[bool(mask[y * h : y * h + h, x * w : x * w + w].all()) for x in columns] for y in rows]
        assert code_mask(mask, grid).tolist() == brute


def test_a_part_is_a_half_or_a_box_or_a_file(tmp_path: Path):
    assert kept("left", (4, 6))[:, :3].all()
    assert not kept("left", (4, 6))[:, 3:].any()
    box = kept([0.25, 0.5, 0.75, 1.0], (4, 6))
    assert box.nonzero().tolist() == [[y, x] for y in (1, 2) for x in (3, 4, 5)]
    assert torch.equal(kept([0.25, 0.5, 0.75, 1.0], (4, 6), invert=True), ~box)
    Image.fromarray(box.numpy().astype(np.uint8) * 255).save(tmp_path / "mask.png")
    assert torch.equal(kept(str(tmp_path / "mask.png"), (4, 6)), box)
    with pytest.raises(UserError, match="the mask is 4x6, the images are 8x6"):
        kept(str(tmp_path / "mask.png"), (8, 6))


@pytest.mark.parametrize("keep", ["topp", [0.5, 0.0, 0.5, 1.0], [0.0, 0.0, 1.0]])
def test_what_is_no_part_is_named(keep: str | list[float]):
    with pytest.raises(UserError, match="keep="):
        kept(keep, (4, 4))
