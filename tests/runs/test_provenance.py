"""A run knows the images that it learned from, and says so where others are in their place."""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

from tests.conftest import composed
from vqgen.config.resume import resumed
from vqgen.errors import CheckpointError, ConfigError
from vqgen.experiment import plain, train
from vqgen.runs.checkpoint import open_last, open_run, save_essence
from vqgen.runs.opening import open_trained
from vqgen.runs.provenance import differences
from vqgen.training.source import Machine, open_source

QUICK = [
    "hardware=cpu",
    "logger=none",
    "callbacks=checkpoints",
    "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false",
    "trainer.enable_model_summary=false",
    "data.batch_size=4",
]
IMAGES = [
    "data=folder",
    "data.size=16",
    "data.prepare_up_to=1.0",
    "model.encoder.hidden_channels=8",
    "model.encoder.residual_channels=8",
]
PRIOR = ["model=gated_pixelcnn", "model.network.hidden_channels=8", "model.network.num_layers=1"]


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(x).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of two classes, a VQ-VAE that learned them and a prior of it."""
    place = tmp_path_factory.mktemp("made")
    for number in range(24):
        picture(place / "images" / ("bird", "cat")[number % 2] / f"{number}.bmp", number)
    words = [*IMAGES, *QUICK, f"data.root={place / 'images'}", f"data_dir={place / 'data'}"]
    train(composed([*words, f"run_dir={place / 'run'}"]), place / "run")
    train(composed(prior_words(place)), place / "prior")
    return place


def prior_words(place: Path, *more: str) -> list[str]:
    folders = [f"tokenizer={place / 'run'}", f"data_dir={place / 'data'}", f"run_dir={place / 'prior'}"]
    return [*PRIOR, *QUICK, *folders, *more]


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """The same, where it can be changed: the runs in a copy, and the images where the runs know them to be."""
    shutil.copytree(made, tmp_path / "copy")
    (made / "images").rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", made / "images")  # with the times of the files
    yield tmp_path / "copy"
    shutil.rmtree(made / "images")
    (tmp_path / "kept").rename(made / "images")


def add_dogs(images: Path) -> None:
    for number in range(8):
        picture(images / "dog" / f"{number}.bmp", 100 + number)


def add_cats(images: Path) -> None:
    for number in range(20):
        picture(images / "cat" / f"more{number}.bmp", 200 + number)


def move_one(images: Path) -> None:
    """One image of the training split gets another label."""
    (images / "cat" / "11.bmp").rename(images / "bird" / "11.bmp")


def rewrite(images: Path) -> None:
    """Other pictures of the same names and sizes."""
    for number, path in enumerate(sorted(images.rglob("*.bmp"))):
        picture(path, 300 + number)


CHANGES = {
    add_dogs: "class dog added; .* train images became",
    add_cats: r"\d+ train images became \d+",
    move_one: "other names, sizes or labels",
    rewrite: "the same names and sizes, with other content",
}


def opens(cfg: DictConfig, folder: Path) -> None:
    """All that a training reads before it begins."""
    open_source(plain(cfg), folder, Machine(torch.device("cpu"), 1), open_last(cfg.resume) if cfg.resume else None)


def goes_on(place: Path, run: str, **changes: Any) -> None:
    train(resumed(str(place / run), {"trainer.max_epochs": 2, **changes}), place / run)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_learns_from_changed_images_stops_and_says_what_changed(change: Any, made: Path, place: Path):
    change(made / "images")
    for learn in (
        lambda: train(composed(prior_words(place, f"run_dir={place / 'other'}")), place / "other"),
        lambda: goes_on(place, "run"),
        lambda: goes_on(place, "prior"),
    ):
        with pytest.raises(ConfigError, match=CHANGES[change]) as caught:
            learn()
        assert "data_changed=true" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_task_on_changed_images_says_so_and_stops_where_labels_mean_other_classes(
    change: Any, made: Path, place: Path
):
    change(made / "images")
    for run in ("run", "prior"):
        images = open_trained(place / run).images()
        if change is add_dogs:
            with pytest.raises(ConfigError, match="class dog added"):
                images.split("train")
            images = open_trained(place / run, data_changed=True).images()
        with pytest.warns(UserWarning, match=CHANGES[change]):
            images.split("train")


def test_images_in_another_place_written_at_another_time_are_the_same(made: Path, place: Path):
    for path in (place / "images").rglob("*.bmp"):
        os.utime(path, (1e9, 1e9))
    shutil.rmtree(made / "images")
    there = str(place / "images")
    opens(composed(prior_words(place, f"data_root={there}")), place / "b")
    opens(resumed(str(place / "run"), {"data.root": there}), place / "run")
    opens(resumed(str(place / "prior"), {"data_root": there}), place / "prior")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_trained(place / "run", data_root=there).images().split("test")
    (made / "images").mkdir()


def test_a_prior_of_changed_images_learns_their_classes_where_they_are_meant(made: Path, place: Path):
    add_dogs(made / "images")
    words = prior_words(place, f"run_dir={place / 'dogs'}", "data_changed=true")
    with pytest.warns(UserWarning, match="class dog added"):
        train(composed(words), place / "dogs")
    trained = open_trained(place / "dogs")
    assert trained.class_names == ["bird", "cat", "dog"]
    assert trained.priors[0].num_classes == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they are what this prior has learned
        assert 2 in trained.images().split("train").labels


def test_a_run_goes_on_with_changed_images_where_they_are_meant_and_knows_them_then(made: Path, place: Path):
    add_cats(made / "images")
    before = open_run(place / "run").data
    with pytest.warns(UserWarning, match="these are taken"):
        goes_on(place, "run", data_changed=True)
    after = open_run(place / "run", "last").data
    assert differences(before, after)
    assert not differences(after, after)
    goes_on(place, "run", **{"trainer.max_epochs": 3})  # without a word


def test_an_older_run_is_compared_by_what_it_knows(made: Path, place: Path):
    for name in ("best", "last"):
        file = place / "run" / "checkpoints" / f"{name}.ckpt"
        contents = torch.load(file, weights_only=True)
        del contents["vqgen"]["data"]
        torch.save(contents, file)
    learners = (
        lambda: opens(composed(prior_words(place)), place / "new"),
        lambda: opens(resumed(str(place / "run"), {}), place / "run"),
    )
    for change, told in {None: "", add_cats: "the variance of the training images was", add_dogs: "class dog"}.items():
        for learn in learners:
            if change is None:
                learn()
                continue
            change(made / "images")
            with pytest.raises(ConfigError, match=told):
                learn()


def test_the_record_is_plain_and_goes_with_the_copy_of_a_tokenizer(made: Path, tmp_path: Path):
    record = open_run(made / "run").data
    assert record["class_names"] == ["bird", "cat"]
    assert sum(split["images"] for split in record["splits"].values()) == 24
    assert open_run(made / "prior").data == record
    save_essence(open_run(made / "run"), tmp_path / "copy.ckpt")
    assert open_run(tmp_path / "copy.ckpt").data == record


@pytest.mark.parametrize("record", [3, [1], {"class_names": 3}, {"class_names": [{}]}, {"splits": {"train": 3}}])
def test_a_record_that_is_none_is_refused(record: Any, made: Path, tmp_path: Path):
    contents = torch.load(made / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    contents["vqgen"]["data"] = record
    torch.save(contents, tmp_path / "odd.ckpt")
    with pytest.raises(CheckpointError, match="not a checkpoint of vqgen"):
        open_run(tmp_path / "odd.ckpt")


def test_what_differs_is_told_in_words():
    split = {"images": 3, "digest": "a", "content": "b"}
    then = {"class_names": ["cat", "dog"], "splits": {"train": split, "test": split}}

    def told(names: list[str], **changes: Any) -> str:
        return "; ".join(differences(then, {"class_names": names, "splits": {"train": split | changes}}))

    assert told(["cat", "dog"]) == ""
    assert told(["dog", "cat"]) == "the classes are in another order"
    assert told(["ant", "bee", "cat", "fly", "hen"]) == "classes ant, bee, fly and 1 more added; class dog gone"
    assert told(["cat", "dog"], images=4, digest="c") == "3 train images became 4"
    assert told(["cat", "dog"], content="c").endswith("with other content")
    assert differences({}, then) == []
