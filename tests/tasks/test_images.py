"""Tasks take test images by number, or image files."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.tasks import tiny
from vqgen.errors import UserError
from vqgen.pictures import figures
from vqgen.tasks.attribute import Attribute
from vqgen.tasks.complete import Complete
from vqgen.tasks.images import chosen
from vqgen.tasks.interpolate import Interpolate
from vqgen.tasks.levels import Levels
from vqgen.tasks.morph import Morph
from vqgen.tasks.nll import NLL
from vqgen.tasks.reconstruct import Reconstruct
from vqgen.tasks.task import Task
from vqgen.tasks.traverse import Traverse

LABELS = len(tiny.shapes().class_names)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Test images 2 and 5 as files."""
    x = tiny.shapes().batch("test", torch.tensor([2, 5]).numpy()).x
    return [str(figures.save_png(image, tmp_path / f"image_{i}.png")) for i, image in enumerate(x)]


def _asked(name: str, a: list[int] | list[str]) -> Task:
    return {
        "reconstruct": lambda: Reconstruct(images=a),
        "complete": lambda: Complete("top", images=a, num_samples=2, label=None if a == [2, 5] else "circle"),
        "nll": lambda: NLL(images=a, label=None if a == [2, 5] else "circle"),
        "levels": lambda: Levels(images=a, steps=2),
        "morph": lambda: Morph(a[:1], a[1:]),
        "interpolate": lambda: Interpolate(a[:1], a[1:], 3),
        "attribute": lambda: Attribute(tiny.shapes().attribute_names[0], a),
        "traverse": lambda: Traverse(a[1], num_images=8),
    }[name]()


@pytest.mark.parametrize("name", ["reconstruct", "levels", "morph", "interpolate", "attribute", "traverse"])
def test_a_file_of_a_test_image_gives_what_the_test_image_gives(name: str, files: list[str]):
    run = tiny.trained(tiny.latent_model() if name in ("attribute", "traverse") else tiny.vqvae2())
    by_number, by_file = (_asked(name, images)(run).pictures for images in ([2, 5], files))
    assert by_number
    for key, picture in by_number.items():
        assert torch.allclose(picture, by_file[key], atol=1e-5), key


def test_files_are_completed_and_measured_with_the_label_that_is_given(files: list[str]):
    run = tiny.trained(tiny.vqvae2(), tiny.priors(LABELS))
    number = chosen(run, [2]).given["label"]
    label = run.class_names[int(number)]
    for make in (
        lambda images, label: Complete("top", images=images, num_samples=2, label=label),
        lambda images, label: NLL(images=images, label=label),
    ):
        assert all(
            torch.allclose(one, other, atol=1e-5)
            for one, other in zip(
                make([2], None)(run).pictures.values(), make(files[:1], label)(run).pictures.values(), strict=True
            )
        )


def test_what_cannot_be_chosen_is_named(files: list[str]):
    run = tiny.trained(tiny.vqvae2(), tiny.priors(LABELS))
    with pytest.raises(UserError, match="not both"):
        chosen(run, [0, files[0]])
    with pytest.raises(UserError, match=r"label=0.*have their own"):
        chosen(run, [0], label=0)
    with pytest.raises(UserError, match="no such file"):
        chosen(run, ["nowhere.png"])
    with pytest.raises(UserError, match="no such class"):
        chosen(run, files, label="circel")
    with pytest.raises(UserError, match="24 images"):
        chosen(run, [99])
    Image.new("L", (3, 3)).save(files[0])
    assert chosen(run, files[:1]).x.shape == (1, 3, 16, 16)
