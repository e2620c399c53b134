"""A file is prepared as the images of the splits are: by the same decoder, window, border and margin."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.test_folder import folder
from vqgen.batch import from_bytes
from vqgen.data.images import Images
from vqgen.data.sources.cifar10 import CIFAR10
from vqgen.data.sources.idx import FashionMnist
from vqgen.data.sources.shapes import Shapes
from vqgen.errors import DataError

LOADER = {"batch_size": 2, "seed": 0, "num_workers": 0}


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("margin", [0, 4, 5])
@pytest.mark.parametrize(
    ("source", "shape", "native"),
    [
        (FashionMnist, (1, 32, 32), (28, 28)),
        (FashionMnist, (1, 28, 28), (28, 28)),
        (FashionMnist, (1, 33, 30), (28, 28)),
        (CIFAR10, (3, 32, 32), (32, 32)),
        (CIFAR10, (3, 40, 48), (32, 32)),
    ],
)
def test_a_file_of_the_size_of_the_set_gets_its_border_and_no_other_pixel(
    source: type[Images], shape: tuple[int, int, int], native: tuple[int, int], margin: int, tmp_path: Path
):
    pixels = _noise(*native, 3)
    image = pixels if shape[0] == 3 else pixels[:, :, 0]
    Image.fromarray(image).save(tmp_path / "image.png")
    data = source(root=str(tmp_path / "nowhere"), shape=shape, margin=margin, **LOADER)
    x, inside, said = data.from_file(tmp_path / "image.png")
    assert tuple(x.shape) == shape
    expected = torch.from_numpy(image if shape[0] == 3 else image[:, :, None]).permute(2, 0, 1)
    assert torch.equal(x[:, *inside], from_bytes(expected))
    border = torch.ones(shape, dtype=torch.bool)
    border[:, *inside] = False
    assert (x[border] == -1).all()
    assert said == ""
    held = data._as_held(expected.numpy())  # as `load` does with the set's own
    assert torch.equal(x, from_bytes(torch.from_numpy(held)))


def test_a_file_that_has_the_border_already_is_taken_as_it_is(tmp_path: Path):
    Image.fromarray(_noise(32, 32)).save(tmp_path / "image.png")
    data = FashionMnist(root=str(tmp_path), shape=(1, 32, 32), **LOADER)
    x, inside, _ = data.from_file(tmp_path / "image.png")
    assert torch.equal(x[0], from_bytes(torch.from_numpy(_noise(32, 32))))
    assert inside == (slice(0, 32), slice(0, 32))


@pytest.mark.parametrize("options", [{}, {"window": 20}, {"margin": 3}, {"prepare_up_to": 0.0}, {"shape": [1, 16, 16]}])
def test_a_file_of_a_folder_is_the_image_of_its_split(options: dict, tmp_path: Path):
    kinds = {"rgb": _noise(24, 30, 3), "alpha": _noise(40, 26, 4), "grey": _noise(24, 24), "wide": _noise(9, 50, 3)}
    for name, pixels in kinds.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(_noise(20, 32, 3)).save(tmp_path / "turned.jpg", exif=turned)
    data = folder(tmp_path, tmp_path / "cache", **{"size": 16, "shape": [3, 16, 16]} | options)
    data.prepare_data()
    for split in ("train", "val", "test"):
        index = np.arange(len(data.split(split).images))
        for name, x in zip(data.names(split, index.tolist()), data.batch(split, index).x, strict=True):
            assert torch.equal(data.from_file(tmp_path / name).x, x), name


def test_what_was_done_is_said_and_what_cannot_be_read_is_named(tmp_path: Path):
    data = Shapes(16, (3, 16, 16), 4, 4, 4, **LOADER)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(_noise(20, 32, 3)).save(tmp_path / "turned.jpg", exif=turned)
    assert data.from_file(tmp_path / "turned.jpg").said == "of 20x32 the middle, at 16x16"
    (tmp_path / "text.png").write_text("no image")
    for name, reason in (("text.png", "UnidentifiedImageError"), ("nothing.png", "there is no such file")):
        with pytest.raises(DataError, match=rf"{name}' cannot be read as an image: {reason}"):
            data.from_file(tmp_path / name)
