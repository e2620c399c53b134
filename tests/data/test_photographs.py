"""The script that cuts photographs into a folder of small pictures."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.photographs import DIVISIONS, Photograph, crops, cut, photographs, split_of, write


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def encoded(image, kind="png"):
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (100, 64), (64, 130), (201, 97)])
def test_squares_of_one_size_lie_in_the_photograph_and_do_not_overlap(width, height):
    covered = np.zeros((len(DIVISIONS), height, width), int)
    ramp = np.mgrid[:height, :width].astype(np.float32)
    for crop in crops(width, height, 8):
        rows, columns = (np.asarray(cut(Image.fromarray(axis), crop, 16)) for axis in ramp)
        side = min(width, height) / crop.division
        top, left = (axis.mean() + 0.5 - side / 2 for axis in (rows, columns))
        assert -1 <= top <= height - side + 1
        assert -1 <= left <= width - side + 1
        inside = np.s_[round(top) + 2 : round(top + side) - 2, round(left) + 2 : round(left + side) - 2]
        covered[DIVISIONS.index(crop.division)][inside] += 1
    assert covered.max() == 1
    assert covered[0].sum() > 0


def test_no_square_is_enlarged():
    assert {crop.division for crop in crops(640, 480, 240)} == {1, 2}
    assert list(crops(640, 480, 481)) == []


def test_a_photograph_is_in_one_split_and_all_splits_have_some():
    many = [Photograph(f"{i}", b"") for i in range(160)]
    splits = split_of(many)
    assert {split: list(splits.values()).count(split) for split in ("train", "val", "test")} == {
        "train": 128,
        "val": 16,
        "test": 16,
    }


def test_pictures_with_detail_are_written_and_sky_is_not(tmp_path, capsys):
    sky = Image.fromarray(np.tile(np.linspace(0, 255, 100).astype(np.uint8), (80, 1)))
    found = [Photograph("sky", encoded(sky)), Photograph("grass", encoded(noise(100, 80)))]
    write(found, 16, 99, tmp_path)
    names = sorted(path.name for path in tmp_path.rglob("*.png"))
    assert len(names) == 1 + 2 * 2 + 3 * 3 + 6 * 5  # an eighth of 80 is less than 16
    assert all(name.startswith("grass-") for name in names)
    assert len({path.parent for path in tmp_path.rglob("*.png")}) == 1
    (tmp_path / "few").mkdir()
    write(found, 16, 4, tmp_path / "few")
    assert len(list((tmp_path / "few").rglob("*.png"))) == 4


def test_pictures_in_a_resource_file_are_found_whole(tmp_path):
    pictures = [encoded(noise(32, 24, seed), "webp") for seed in range(3)]
    path = tmp_path / "gcompris-qt/rcc/erase.rcc"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"qres\0RIFF of another kind" + b"\0\1".join(pictures))
    assert [photograph.content for photograph in photographs(tmp_path)] == pictures
