"""Folders as people have them: what is a split, what is a class, and what cannot be told."""

from pathlib import Path

import pytest

from vqgen.data.files.layout import Folders, find_layout
from vqgen.errors import DataError

ROOT = Path("data/x")


def paths(*folders, n=3):
    """A few images in each of these folders."""
    return [f"{folder}/{i}.png".lstrip("/") for folder in folders for i in range(n)]


def of_classes(*folders):
    return paths(*[f"{folder}/{kind}" for folder in folders for kind in ("cat", "dog")])


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("Train", "Valid", "Test"),
        ("TRAIN", "DEV", "TEST"),
        ("trn", "val", "tst"),
        ("train_images", "val_images", "test_images"),
        ("images-train", "images-val", "images-test"),
        ("train2017", "val2017", "test2017"),
        ("training_set", "validation_set", "test_set"),
        ("trainset", "devset", "testset"),
        ("TrainData", "ValData", "TestData"),
        ("train", "dev", "eval"),
        ("train", "val", "holdout"),
        ("Train Images", "Validation Images", "Test Images"),
        ("A_img_train", "A_img_val", "A_img_test"),
        ("seg_train", "seg_val", "seg_test"),
        ("train_split", "valid_split", "test_split"),
        ("Training", "Evaluation", "Test"),
        ("trainval", "val", "test1"),
        ("tr", "va", "te"),
    ],
)
def test_splits_go_by_the_names_that_people_give_them(train, val, test):
    found = find_layout(of_classes(train, val, test), "auto", ROOT)
    assert found[:2] == ("", {"train": f"{train}/", "val": f"{val}/", "test": f"{test}/"})
    for other in ("val", "test"):
        two = find_layout(of_classes(train, {"val": val, "test": test}[other]), "auto", ROOT).splits
        assert two["train"] == f"{train}/"
        assert len(two) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog"],
        ["car", "train"],
        ["train_station", "test_tube", "bedroom"],
        ["n01440764", "n01443537"],
        ["value", "tested", "trained"],
        ["Île", "évaluation"],
        ["1", "2"],
    ],
)
def test_classes_may_be_called_what_they_are(names):
    assert find_layout(paths(*names), "auto", ROOT)[:2] == ("", {})


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_folders_around_all_of_it_are_gone_through(depth):
    around = "/".join(["archive", "dataset", "images"][:depth])
    below = {"train": f"{around}/train/", "val": f"{around}/val/"}
    assert find_layout(of_classes(f"{around}/train", f"{around}/val"), "auto", ROOT)[:2] == (f"{around}/", below)
    assert find_layout(of_classes(around), "auto", ROOT)[:2] == (f"{around}/", {})


def test_a_folder_inside_a_split_that_holds_all_of_it_is_gone_through():
    assert find_layout(of_classes("train/train", "val"), "auto", ROOT).start == "train/train/"
    assert Folders(paths("val/cat")).wrapped("val/", {"val"}) == "val/"  # the only class there
    assert Folders(paths("val/images")).wrapped("val/", {"val"}) == "val/images/"
    assert Folders(paths("seg_test/seg_test")).wrapped("seg_test/", {"seg_test"}) == "seg_test/seg_test/"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (of_classes("train", "val") + paths("docs", n=1), ["train, val", "docs", "layout=splits", "layout=classes"]),
        (of_classes("train", "test") + paths("unlabeled", n=5), ["unlabeled", "data.layout=splits"]),
        (of_classes("train", "val", "x/train", "x/val"), ["is there twice", "data.root=data/x/x"]),
        (of_classes("", "x"), ["is there twice", "data.root=data/x/x"]),
        (paths("", "x"), ["is there twice", "data.root=data/x/x"]),
        (of_classes("dataset/train", "dataset/val") + paths("docs"), ["data.root=data/x/dataset"]),
        (of_classes("dataset/train", "dataset/val") + paths(""), ["data.root=data/x/dataset"]),
        (of_classes("a/train", "a/test", "b/train", "b/test"), ["data/x/a", "test, train"]),
        (paths("images", "test"), ["test", "train, val and test"]),
        (paths("cat", "dog", "validation"), ["validation"]),
        (of_classes("train", "extra"), ["train"]),
        (of_classes("train", "holdings"), ["train"]),
        (of_classes("Training", "PublicTest", "PrivateTest"), ["PrivateTest"]),
        (paths("Training", "PublicTest", "PrivateTest"), ["PrivateTest"]),
        (paths("trainA", "trainB", "testA", "testB"), ["trainA", "trainB", "same split"]),
        (of_classes("train", "val", "valid"), ["val, valid", "same split"]),
        (of_classes("train/train", "train/val", "val"), ["data.root=data/x/train"]),
        (of_classes("train", "test") + paths("train/test"), ["data/x/train", "test"]),
        (paths("test", "val"), ["test", "val"]),
        (of_classes("places/train") + paths("val_large", "test_large"), ["test_large, val_large"]),
        (of_classes("learn", "exam"), ["exam, learn", "cat, dog", "train, val and test", "data.layout=classes"]),
        (of_classes("all/seen", "all/unseen"), ["data/x/all", "cat, dog"]),
        (of_classes("train/part1", "train/part2", "test"), ["data/x/train", "part1, part2", "cat, dog"]),
        (of_classes("", "backup/old"), ["is there twice", "data.root=data/x/backup/old"]),
    ],
)
def test_a_guess_that_would_train_on_test_images_is_an_error_in_one_line(files, words):
    with pytest.raises(DataError) as caught:
        find_layout(files, "auto", ROOT)
    assert str(caught.value).isprintable()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("classed", [True, False])
def test_a_word_says_how_a_doubtful_tree_is_taken(classed):
    files = (of_classes if classed else paths)("train", "val", "docs")
    assert find_layout(files, "splits", ROOT)[:2] == ("", {"train": "train/", "val": "val/"})
    assert find_layout(files, "classes", ROOT)[:2] == ("", {})
    assert find_layout(files, "flat", ROOT)[:2] == ("", {})
    with pytest.raises(DataError, match=r"data.layout=splits: data/x holds no folders train and val or test"):
        find_layout(paths("cat", "dog"), "splits", ROOT)


@pytest.mark.parametrize("inner", [("images",), ("images", "photos"), ("000", "001"), ("front",)])
def test_folders_in_the_classes_may_be_alike(inner):
    assert find_layout(paths(*[f"{kind}/{name}" for kind in ("cat", "dog") for name in inner]), "auto", ROOT)[:2] == (
        "",
        {},
    )


@pytest.mark.slow
def test_a_tree_of_many_folders_is_gone_through_at_once():
    files = [f"{i:04}/{i:04}/{i:04}.png" for i in range(20_000)]
    assert find_layout(files, "auto", ROOT)[:2] == ("", {})
