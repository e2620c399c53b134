"""Starting from another run's weights, and leaving parts as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import composed
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen import load
from vqgen.config.check import check
from vqgen.errors import ConfigError
from vqgen.experiment import train
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.opening import open_trained

VQVAE = ["model=vqvae", *NETWORK, "model.encoder.hidden_channels=8"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of shapes."""
    return train_in(tmp_path_factory.mktemp("runs") / "shapes", [*VQVAE, *IMAGES, *SMALL])


@pytest.fixture(scope="module")
def landscapes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Other images: skies over land, a folder of them."""
    folder = tmp_path_factory.mktemp("landscapes")
    random = np.random.default_rng(0)
    for i in range(40):
        horizon, light = random.integers(4, 12), random.integers(100, 200)
        image = np.full((16, 16, 3), (light, light, 250), np.uint8)
        image[horizon:] = (20, light, 20)
        Image.fromarray(image).save(folder / f"{i}.png")
    return ["data=folder", f"data.root={folder}", "data.size=16", "data.batch_size=8", "data.prepare_up_to=20.0"]


def start(words: list[str]) -> None:
    cfg = composed([*words, "run_dir=/nowhere"])
    check(cfg)
    train(cfg, Path("/nowhere"))


def test_a_decoder_is_tuned_on_other_images_and_the_codes_are_those_of_before(
    shapes: Path, landscapes: list[str], tmp_path: Path
):
    longer = [word for word in SMALL if "limit_train" not in word and "max_epochs" not in word]
    words = [*VQVAE, *landscapes, *longer, "trainer.max_epochs=4", "optim.lr=1e-2"]
    words += [f"weights={shapes}", "freeze=[encoder,quantizer]"]
    run = train_in(tmp_path / "tuned", words)
    before, after = load(shapes), load(run)
    assert fingerprint(before) == fingerprint(after)
    moved = {
        name.partition(".")[0]
        for name, w in before.state_dict().items()
        if not torch.equal(w, after.state_dict()[name])
    }
    assert moved == {"decoder"}
    x = open_trained(run).first(8).x
    assert all(torch.equal(a, b) for a, b in zip(before.encode(x), after.encode(x), strict=True))
    errors = [(model.reconstruct(x) - x).square().mean() for model in (before, after)]
    assert errors[1] < errors[0]


def test_what_does_not_fit_is_refused_or_left_as_it_starts_with_a_word(
    shapes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    other = [*VQVAE, "model.quantizer.num_embeddings=16", *IMAGES, *SMALL, f"weights={shapes}"]
    with pytest.raises(
        ConfigError, match=r"quantizer.codebook \(128x64 there, 16x64 here\).*weights_strict=false takes"
    ):
        start(other)
    run = train_in(tmp_path / "loose", [*other, "weights_strict=false", "trainer.max_steps=1", "optim.lr=1e-9"])
    assert "as they start: of another size: quantizer.codebook" in caplog.text
    before, after = load(shapes).state_dict(), load(run).state_dict()
    torch.testing.assert_close(before["decoder.network.0.weight"], after["decoder.network.0.weight"], atol=1e-6, rtol=0)
    assert after["quantizer.num_updates"] < before["quantizer.num_updates"]  # the codebook is placed anew


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*VQVAE, "freeze=[encodr]"], "there is no part encodr .did you mean encoder"),
        ([*VQVAE, "freeze=[encoder,decoder]"], "nothing is left to train"),
        (
            ["model=vae", "model.encoder.hidden_channels=[8,8]", "weights_strict=false"],
            "it has no weight of this model",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[Any], message: str, shapes: Path):
    with pytest.raises(ConfigError, match=message):
        start([*words, *IMAGES, *SMALL, f"weights={shapes}"])


def test_a_part_is_frozen_beside_weights_alone():
    with pytest.raises(ConfigError, match="only beside weights=RUN"):
        start([*VQVAE, *IMAGES, *SMALL, "freeze=[encoder]"])
