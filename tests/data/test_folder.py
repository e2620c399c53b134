import errno
import itertools
import multiprocessing
import os
import re
import shutil
import signal
import struct
import warnings
import zlib

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image

from vqgen.data.files import prepare
from vqgen.data.files.prepare import ArrayRows, ImageFiles
from vqgen.data.files.tree import scan
from vqgen.data.sources.folder import Folder
from vqgen.errors import DataError


def picture(number):
    """A picture of its own: constant colour."""
    return Image.new("RGB", (20, 16), (number % 256, number // 256, 200))


def write(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)


def folder(root, cache, **changes):
    options = {
        "size": 8,
        "shape": (3, 8, 8),
        "batch_size": 4,
        "seed": 0,
        "num_workers": 0,
        "prepare_up_to": 1.0,
        "max_unreadable": 0.01,
        "flip": False,
        "margin": 0,
        "val_fraction": 0.1,
        "test_fraction": 0.2,
    } | changes
    return Folder(root=str(root), cache=str(cache), **options)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "images"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def numbers(images, split="train"):
    """Which pictures a split holds, in order."""
    x = images.split(split).images
    return x[np.arange(len(x))][:, 0, 0, 0].tolist()


def test_a_flat_folder_is_divided_by_the_names_alone(root, cache):
    write(root, *[f"{i:03}.png" for i in range(100)])
    images = folder(root, cache)
    splits = [numbers(images, name) for name in ("train", "val", "test")]
    assert [len(split) for split in splits] == [70, 10, 20]
    assert sorted(itertools.chain(*splits)) == list(range(100))
    assert all(split == sorted(split) for split in splits)
    assert numbers(folder(root, cache, seed=5), "val") == splits[1]
    assert images.facts()["num_classes"] == 0
    assert images.split("train").labels is None


def test_class_folders_are_the_classes_sorted_by_name(root, cache):
    write(root, *[f"{name}/deep/{i}.png" for name in ("zebra", "ant", "Ölfink") for i in range(10)])
    images = folder(root, cache)
    assert images.facts()["class_names"] == ["ant", "zebra", "Ölfink"]
    train = images.split("train")
    expected = [{"z": 1, "a": 0, "Ö": 2}[file.path[0]] for file in images.listings["train"].files]
    assert train.labels.tolist() == expected


def test_one_folder_is_no_class(root, cache):
    write(root, *[f"all/{i}.png" for i in range(9)])
    assert folder(root, cache).facts()["num_classes"] == 0


@pytest.mark.parametrize("split", ["", "train/"])
def test_an_image_beside_the_class_folders_takes_the_classes_away_with_a_warning(root, cache, split):
    write(root, *[f"{split}{kind}/{i}.png" for kind in "ab" for i in range(5)], f"{split}stray.png")
    with pytest.warns(UserWarning, match=f"No classes: {split}stray.png lies in no class folder"):
        assert folder(root, cache).split("train").labels is None


@pytest.mark.parametrize(("given", "held_out"), [(["val"], [3, 3]), (["test"], [3, 3]), (["valid", "test"], [3, 3])])
def test_given_splits_are_kept(root, cache, given, held_out):
    write(root, *[f"{split}/{kind}/{i}.png" for split in ["train", *given] for kind in "ab" for i in range(3)])
    images = folder(root, cache)
    assert [len(images.split(name).images) for name in ("train", "val", "test")] == [6, 6, 6]
    assert images.class_names == ["a", "b"]
    assert images.split("val").labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (numbers(images, "val") == numbers(images, "test")) == (len(given) == 1)


def test_a_class_may_be_called_train(root, cache):
    write(root, *[f"{kind}/{i}.png" for kind in ("car", "train") for i in range(5)])
    images = folder(root, cache)
    assert images.facts()["class_names"] == ["car", "train"]


def test_a_class_unknown_in_training_is_an_error(root, cache):
    write(root, "train/a/1.png", "train/b/1.png", "val/c/1.png")
    with pytest.raises(DataError, match=r"val/c/1.png is in no folder of the 2 classes"):
        folder(root, cache).split("train")


def test_a_prepared_set_is_a_memory_map_made_once(root, cache):
    write(root, *[f"{i}.png" for i in range(10)])
    images = folder(root, cache)
    images.prepare_data()
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert len(made) == 3
    again = folder(root, cache)
    again.prepare_data()
    assert isinstance(again.split("train").images.base, np.memmap)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")} == made
    folder(root, cache, size=12, shape=(3, 12, 12)).prepare_data()
    assert len(list(cache.rglob("*.npy"))) == 6


@pytest.mark.parametrize("num_workers", [0, 2])
def test_prepared_and_decoded_sets_give_the_same_batches(root, cache, num_workers):
    write(root, *[f"{i}.jpg" for i in range(30)])
    options = {"flip": True, "margin": 3}
    prepared = folder(root, cache, **options)
    decoded = folder(root, cache, prepare_up_to=0.0, num_workers=num_workers, **options)
    assert isinstance(decoded.split("train").images, ImageFiles)
    for epoch in (0, 1):
        batches = []
        for images in (prepared, decoded):
            loader = images.train_dataloader()
            loader.set_epoch(epoch)
            batches.append(list(loader))
        for a, b in zip(*batches, strict=True):
            assert a.pixels.equal(b.pixels)
            assert a.index.equal(b.index)
            assert a.pixels.shape[1:] == (3, 8, 8)
    assert prepared.key == decoded.key


def test_evaluation_is_deterministic_and_takes_the_middle(root, cache):
    write(root, *[f"{i}.png" for i in range(30)])
    images = folder(root, cache, flip=True, margin=4)
    first, second = (next(iter(images.test_dataloader())).pixels for _ in range(2))
    assert first.equal(second)
    assert images.split("test").images.shape[1:] == (3, 12, 12)


def damage(root, *names):
    for name in names:
        (root / name).write_bytes(b"no image")


def prepare_twice(images):
    warnings.simplefilter("always")
    images.prepare_data()
    images.prepare_data()


@pytest.mark.parametrize("prepare_up_to", [1.0, 0.0])
def test_unreadable_images_are_left_out_listed_and_warned_of_once(root, cache, tmp_path, prepare_up_to):
    names = [f"{kind}/{i:02}.png" for kind in "ab" for i in range(10)]
    write(root, *names)
    damage(root, "a/03.png", "b/07.png")
    images = folder(root, cache, max_unreadable=0.1, prepare_up_to=prepare_up_to)
    with pytest.warns(UserWarning, match="2 of 20 image files .* are unreadable, such as a/03.png") as caught:
        prepare_twice(images)  # as Lightning does
    assert len(caught) == 1
    found = [numbers(images, name) for name in ("train", "val", "test")]
    assert sorted(itertools.chain(*found)) == [i for i in range(20) if i not in (3, 17)]
    labels = np.concatenate([images.split(name).labels for name in ("train", "val", "test")])
    assert sorted(labels) == [0] * 9 + [1] * 9
    assert isinstance(images.split("train").images, ArrayRows if prepare_up_to else ImageFiles)
    images.trainer = pl.Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu")
    images.setup("fit")
    listed = (tmp_path / "unreadable.txt").read_text()
    assert "a/03.png: " in listed
    assert "b/07.png: " in listed
    assert "a/04" not in listed


def test_too_many_unreadable_images_stop_the_run_unless_told_otherwise(root, cache):
    write(root, *[f"{i:02}.png" for i in range(20)])
    damage(root, "05.png")
    with pytest.raises(DataError, match=r"1 of 20 .* more than data.max_unreadable=0.01 allows"):
        folder(root, cache).prepare_data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder(root, cache, max_unreadable=0.05).prepare_data()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no image")])
def test_a_file_that_is_spoilt_after_it_was_checked_is_an_error_that_names_it(root, cache, num_workers, spoil):
    write(root, *[f"{i:02}.png" for i in range(40)])
    images = folder(root, cache, prepare_up_to=0.0, num_workers=num_workers)
    images.prepare_data()
    path = root / images.listings["train"].files[9].path
    loader = iter(images.train_dataloader())
    next(loader)
    spoil(path)
    with pytest.raises(DataError) as caught:
        list(loader), list(images.train_dataloader())
    assert str(caught.value).startswith(f"{path} was an image when the files were checked")
    assert "\n" not in str(caught.value)


def test_a_worker_that_is_killed_is_an_error_of_one_line(root, cache):
    write(root, *[f"{i:02}.png" for i in range(40)])
    images = folder(root, cache, prepare_up_to=0.0, num_workers=1, batch_size=1)
    loader = iter(images.train_dataloader())
    next(loader)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"DataLoader worker .*data\.num_workers") as caught:
        list(loader)
    assert "\n" not in str(caught.value)


def test_a_changed_folder_is_prepared_anew(root, cache):
    write(root, *[f"{i}.png" for i in range(10)])
    before = folder(root, cache).key
    picture(3).resize((40, 40)).save(root / "new.png")
    assert folder(root, cache).key != before


@pytest.mark.parametrize("changes", [{}, {"prepare_up_to": 0.0}])
@pytest.mark.parametrize("name", ["images.npy", "unreadable.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.write_text("[1, 2]"),
    ],
)
def test_a_damaged_prepared_set_is_an_error_that_says_what_to_delete(root, cache, name, damage, changes):
    write(root, *[f"{i}.png" for i in range(10)])
    folder(root, cache, **changes).prepare_data()
    paths = list(cache.rglob(f"train-*/{name}"))
    for path in paths:
        damage(path)

    def use():
        images = folder(root, cache, **changes)
        images.prepare_data()
        return images.split("train").images[:]

    if paths:  # a set that is decoded has no array
        with pytest.raises(DataError) as caught:
            use()
        assert str(caught.value).startswith(f"{paths[0].parent} is not whole (")
        assert "\n" not in str(caught.value)
        shutil.rmtree(paths[0].parent)
    assert len(use()) == 7


def test_an_option_out_of_range_is_an_error_that_names_it(root, cache):
    wrong = {
        "window": 0,
        "max_unreadable": 5.0,
        "prepare_up_to": -1.0,
        "batch_size": 0,
        "num_workers": -1,
        "margin": -2,
        "shape": (3, 0, 8),
        "val_fraction": -0.1,
    }
    for option, value in wrong.items():
        shown = list(value) if option == "shape" else value
        with pytest.raises(DataError, match=re.escape(f"data.{option}={shown}: ")) as caught:
            folder(root, cache, **{option: value})
        assert "\n" not in str(caught.value)
    for channels in (0, 2, 4):
        with pytest.raises(DataError, match=r"1 channel .* or 3"):
            folder(root, cache, shape=(channels, 8, 8))


@pytest.mark.parametrize("option", ["root", "cache"])
@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_place_of_a_folder_is_an_error(tmp_path, option, below):
    (tmp_path / "file").write_text("x")
    places = {"root": tmp_path / "images", "cache": tmp_path / "cache", option: tmp_path / "file" / below}
    with pytest.raises(DataError, match=rf"data.{option}=.*{tmp_path}/file is a file, not a folder"):
        folder(**places)


def test_a_cache_that_cannot_be_written_is_an_error_unless_all_is_prepared(root, cache, monkeypatch):
    write(root, "a.png")
    folder(root, cache).prepare_data()

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("mkdir", "rename"):
        monkeypatch.setattr(os, name, refuse)
    assert len(folder(root, cache).split("train").images) == 1
    with pytest.raises(DataError, match=r"train-array cannot be made: Read-only file system.*data\.cache"):
        folder(root, cache, size=9, shape=(3, 9, 9)).prepare_data()


@pytest.mark.parametrize(
    "make", [lambda root: None, lambda root: root.mkdir(), lambda root: write(root / ".hidden", "a.png")]
)
def test_a_folder_without_image_is_an_error_with_all_remedies(root, cache, make):
    make(root)
    with pytest.raises(DataError) as caught:
        folder(root, cache).prepare_data()
    for part in (str(root), "there is no image", "root/CLASS/**/*.jpg", "data.root", "data=shapes"):
        assert part in str(caught.value)
    assert ("no such folder" in str(caught.value)) == (not root.exists())


def test_a_single_image_is_every_split(root, cache):
    write(root, "one.png")
    images = folder(root, cache)
    assert [numbers(images, name) for name in ("train", "val", "test")] == [[0]] * 3
    assert next(iter(images.train_dataloader())).pixels.shape == (1, 3, 8, 8)


def test_unicode_names_and_names_that_are_no_unicode_are_read(root, cache):
    write(root, "été/日本語 🐈.png", "été/b c.PNG", "x'y/q\"z.jpeg")
    strange = os.fsencode(root) + b"/x'y/\xff\xfe.png"
    picture(3).save(root / "name.png")
    os.rename(root / "name.png", strange)
    images = folder(root, cache)
    images.prepare_data()
    assert sum(len(images.split(name).images) for name in ("train", "val", "test")) == 4
    open(strange, "wb").close()
    with pytest.raises(DataError, match=r"x'y/.*xff.*xfe.png: the file is empty"):
        folder(root, cache).prepare_data()


def test_a_strange_name_is_shown_in_one_line(root, cache):
    write(root, "good.png")
    for name in ("two\nlines\x1b[31m.png", "x" * 251 + ".png"):
        (root / name).write_bytes(b"no image")
    images = folder(root, cache, max_unreadable=1.0)
    with pytest.warns(UserWarning, match="2 of 3"):
        images.prepare_data()
    assert len(images.unreadable()) == 2
    assert all(line.isprintable() for line in images.unreadable())
    assert r"two\nlines\x1b[31m.png" in images.unreadable()[0]


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"${oc.env:HOME}"])
def test_a_class_that_no_config_can_hold_is_an_error(root, cache, name):
    write(root, "plain/1.png", "other/2.png", "other/3.png", "other/4.png")
    os.rename(root / "plain", os.path.join(os.fsencode(root), name))
    with pytest.raises(DataError, match="cannot be the name of a class") as caught:
        folder(root, cache, val_fraction=0.0, test_fraction=0.0).facts()
    assert str(caught.value).isprintable()


def test_a_pipe_is_listed_and_not_opened(root, cache):
    write(root, "a.png")
    os.mkfifo(root / "b.png")
    images = folder(root, cache, max_unreadable=0.5)
    with pytest.warns(UserWarning, match="b.png: no ordinary file"):
        images.prepare_data()
    assert numbers(images) == [0]


def test_a_root_that_cannot_be_read_is_told_with_the_reason(root, cache):
    root.symlink_to(root)
    with pytest.raises(DataError, match=r"there is no image that can be read .*Too many levels of symbolic links"):
        folder(root, cache).prepare_data()


def test_folders_of_splits_may_begin_with_a_capital(root, cache):
    write(root, "Train/1.png", "Train/2.png", "VAL/3.png")
    images = folder(root, cache)
    assert [numbers(images, name) for name in ("train", "val", "test")] == [[0, 1], [2], [2]]


def test_many_large_images_are_decoded_a_few_at_a_time(root, cache, monkeypatch):
    write(root, *[f"{i:02}.png" for i in range(40)])
    monkeypatch.setattr(prepare, "_MOST_BYTES", 3 * 8 * 8 * 5)
    assert numbers(folder(root, cache)) == sorted(numbers(folder(root, cache)))
    held = []
    decode = prepare.FileDecoder.attempt
    started = []
    monkeypatch.setattr(prepare.FileDecoder, "attempt", lambda self, path: started.append(path) or decode(self, path))
    for done, _ in enumerate(prepare.FileDecoder(str(root), (3, 8, 8), None).attempts([b"01.png"] * 40)):
        held.append(len(started) - done)
    assert max(held) <= 10


def test_a_split_that_does_not_fit_into_memory_is_an_error(root, cache, monkeypatch):
    write(root, "a.png")
    monkeypatch.setattr(Folder, "load", lambda self, split: np.empty(2**50))
    with pytest.raises(DataError, match="The val split of Folder does not fit into memory"):
        folder(root, cache).split("val")
    with pytest.raises(DataError, match=r"data\.size=100000: images of 100000 x 100000 pixels are too large"):
        folder(root, cache, size=100_000, shape=(3, 100_000, 100_000))


def test_links_that_lead_around_are_followed_once(root, cache):
    write(root, "a/1.png", "a/2.png", "b/3.png")
    (root / "a" / "loop").symlink_to(root)
    (root / "b" / "self").symlink_to(root / "b")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    elsewhere = root.parent / "elsewhere"
    write(elsewhere, "4.png")
    (root / "c").symlink_to(elsewhere)
    tree = scan(root)
    assert [file.path for file in tree.files] == ["a/1.png", "a/2.png", "b/3.png", "c/4.png"]
    assert [path for path, _ in tree.unreadable] == ["gone.png"]


def test_unreadable_folders_are_listed(root, cache, monkeypatch):
    write(root, *[f"{i}.png" for i in range(5)], "closed/6.png")
    whole = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="closed/: Permission denied"):
        folder(root, cache).prepare_data()
    with pytest.warns(UserWarning, match="closed/: Permission denied"):
        folder(root, cache, max_unreadable=1.0).prepare_data()


def test_sizes_that_disagree_are_an_error(root, cache):
    with pytest.raises(DataError, match=r"data.shape=\[3, 9, 9\]: files are resized to \[3, 8, 8\] \(data.size\)"):
        folder(root, cache, shape=(3, 9, 9))
    with pytest.raises(DataError, match=r"val_fraction=0\.5, data.test_fraction=0\.5: together"):
        folder(root, cache, val_fraction=0.5, test_fraction=0.5)


def test_a_disk_without_room_is_an_error(root, cache, monkeypatch):
    write(root, "a.png")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match=r"folder-8x8-\w+ needs 192B, and its disk has 10.0B left"):
        folder(root, cache).prepare_data()
    assert not cache.exists()


def test_folders_of_like_named_files_are_different_sources(tmp_path):
    keys = []
    for colour in (0, 255):
        root = tmp_path / f"colour{colour}"
        root.mkdir()
        for i in range(4):
            Image.new("RGB", (8, 8), (colour, 0, 0)).save(root / f"{i}.bmp")
        keys.append(folder(root, tmp_path / "cache").key)
    assert keys[0] != keys[1]


def test_a_link_to_itself_is_listed_and_left_out(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    tree = scan(tmp_path)
    assert [file.path for file in tree.files] == ["a.png"]
    assert [path for path, _ in tree.unreadable] == ["self.png"]


def test_a_folder_that_cannot_be_read_stops_the_preparation(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(150):
            Image.new("RGB", (8, 8)).save(tmp_path / "root" / name / f"{i}.bmp")
    real = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith("root/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="a folder cannot be read: b/: Permission denied"):
        folder(tmp_path / "root", tmp_path / "cache").prepare_data()


def test_classes_beside_a_flat_test_divide_the_training_images_and_leave_the_test_out(root, cache):
    write(root, *[f"train/{kind}/{i}.jpg" for kind in ("cat", "dog") for i in range(20)])
    write(root, *[f"test/{i}.jpg" for i in range(10)])
    images = folder(root, cache)
    assert images.facts()["class_names"] == ["cat", "dog"]
    reading = images.reading()
    assert reading.counts == {"train": 28, "val": 4, "test": 8}
    assert reading.left_out["of test (no class is known)"] == 10
    assert images.split("test").labels is not None


@pytest.mark.parametrize("inner", ["{0}", "{0}_set", "images"])
def test_a_folder_in_each_split_around_all_of_it_is_gone_through(root, cache, inner):
    """As Kaggle's archives unpack: training_set/training_set/cats/1.jpg."""
    for split in ("train", "test"):
        write(root, *[f"{split}/{inner.format(split)}/{kind}/{i}.png" for kind in "ab" for i in range(3)])
    images = folder(root, cache)
    assert images.facts()["class_names"] == ["a", "b"]
    assert images.split("test").labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_everything_one_folder_deeper_is_read_as_if_it_were_not(root, cache):
    write(root, *[f"dataset/{split}/{kind}/{i}.png" for split in ("train", "val") for kind in "ab" for i in range(5)])
    images = folder(root, cache)
    assert images.facts()["class_names"] == ["a", "b"]
    assert numbers(images, "train") == list(range(10))
    assert images.reading().line().startswith(f"Data of {root}/dataset: 10 train, 10 val, 10 test; 2 classes (a, b)")


def test_a_copy_inside_and_a_picture_beside_the_splits_are_errors_of_one_line(root, cache):
    for inside in ("", "x/"):
        folders = [f"{inside}{split}/{kind}" for split in ("train", "val") for kind in "ab"]
        write(root, *[f"{place}/{i}.png" for place in folders for i in range(2)])
    for kind, word in (("x", f"data.root={root}/x"), ("docs", "data.layout=splits")):
        with pytest.raises(DataError, match=re.escape(word)) as caught:
            folder(root, cache).prepare_data()
        assert "\n" not in str(caught.value)
        shutil.rmtree(root / kind)
        write(root, "docs/figure.png")
    images = folder(root, cache, layout="splits")
    assert images.reading().counts == {"train": 4, "val": 4, "test": 4}
    assert images.reading().left_out["images beside those folders"] == 1
    assert folder(root, cache, layout="classes").facts()["class_names"] == ["docs", "train", "val"]
    assert folder(root, cache, layout="flat").facts()["class_names"] == []
    with pytest.raises(DataError, match=r"data.layout=split: expected one of auto, splits, classes, flat"):
        folder(root, cache, layout="split")


@pytest.mark.parametrize("name", ["{}.heic", "{}.png"])
@pytest.mark.parametrize("classes", ["ab", "abc"])
@pytest.mark.parametrize("split", ["", "train/"])
def test_a_class_of_which_nothing_can_be_read_is_an_error_that_names_it(root, cache, name, classes, split):
    """Also where one other class is left, and the folders would be none."""
    write(root, *[f"{split}{kind}/{i:02}.png" for kind in classes[:-1] for i in range(10)])
    lost = root / split / classes[-1]
    lost.mkdir()
    for i in range(3):
        (lost / name.format(i)).write_bytes(b"no image")
    message = rf"Of the class {classes[-1]} in .* no (training )?image can be read"
    with pytest.raises(DataError, match=message) as caught:
        folder(root, cache, max_unreadable=1.0).prepare_data()
    assert "\n" not in str(caught.value)


def test_a_class_of_links_to_nowhere_and_a_split_of_which_nothing_can_be_read_are_errors_that_name_them(root, cache):
    splits = [f"{split}/{kind}" for split in ("train", "val") for kind in "ab"]
    write(root, *[f"{place}/{i}.png" for place in splits for i in range(10)])
    (root / "train/c").mkdir()
    (root / "train/c/0.png").symlink_to(root / "nowhere.png")
    with pytest.raises(DataError, match=r"Of the class c in .*train no image can be read, such as train/c/0.png"):
        folder(root, cache).prepare_data()
    shutil.rmtree(root / "train/c")
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"Of the split val in .* no image can be read, such as val/a/0.png"):
        folder(root, cache, max_unreadable=1.0).split("val")
    for path in (root / "val").rglob("*.png"):
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"Of the split val in .*val no image can be read, such as val/a/0.heic"):
        folder(root, cache).prepare_data()


def test_a_class_of_which_only_other_splits_have_images_and_what_is_empty_or_hidden_are_told(root, cache):
    write(root, *[f"{kind}/{i:02}.png" for kind in "ab" for i in range(10)], "c/21.png")  # by its hash in test
    for name in ("d", ".e"):
        (root / name).mkdir()
    images = folder(root, cache)
    with pytest.warns(UserWarning, match=r"There is no training image of c in .*images"):
        images.prepare_data()
    assert images.reading().line().endswith("no training image of c; left out: 1 hidden, 1 empty folders")


def test_files_are_cut_to_images_that_are_not_square(root, cache):
    root.mkdir()
    y, x = np.mgrid[:60, :100]
    for i in range(5):
        Image.fromarray(np.stack([x, y, y * 0], -1).astype(np.uint8)).save(root / f"{i}.png")
    wide = folder(root, cache, shape=(3, 30, 50)).split("train").images  # all of the image
    assert wide.shape[1:] == (3, 30, 50)
    assert wide[0, :2, 0, 0].max() <= 1
    assert np.abs(wide[0, :2, -1, -1].astype(int) - [99, 59]).max() <= 1
    high = folder(root, cache, shape=(3, 60, 20), margin=4).split("train").images  # a strip of its middle
    assert high.shape[1:] == (3, 64, 24)
    assert abs(int(high[0, 0, 30, 0]) - 39) <= 1
    for prepare_up_to in (0.0, 1.0):
        images = folder(root, cache, shape=(1, 12, 20), margin=2, prepare_up_to=prepare_up_to, flip=True)
        assert next(iter(images.train_dataloader())).pixels.shape == (3, 1, 12, 20)
        assert next(iter(images.test_dataloader())).pixels.shape[1:] == (1, 12, 20)
    with pytest.raises(DataError, match=r"data.shape=\[3, 90000, 9000\]: images of 90000 x 9000 pixels are too large"):
        folder(root, cache, shape=(3, 90000, 9000))


def grey16(path, brightest, shape=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, brightest, shape[0] * shape[1]).reshape(shape).astype(np.uint16)
    Image.fromarray(ramp).save(path)
    return ramp


@pytest.mark.parametrize("prepare_up_to", [1.0, 0.0])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_images_of_fewer_than_16_bits_are_scaled_by_the_range_of_the_set(root, cache, suffix, bits, prepare_up_to):
    ramp = grey16(root / f"0.{suffix}", 2**bits - 1)
    for i in range(1, 5):
        grey16(root / f"{i}.{suffix}", (2**bits - 1) // 2)  # a darker image of the set stays darker
    options = {"shape": (1, 20, 24), "prepare_up_to": prepare_up_to, "val_fraction": 0.0, "test_fraction": 0.0}
    images = folder(root, cache, white="auto", **options)
    with warnings.catch_warnings(record=True) as caught:
        prepare_twice(images)
    said = [str(warning.message) for warning in caught if "16 bits" in str(warning.message)]
    assert len(said) == (bits < 16)
    assert all(f"{2**bits - 1} is taken for white" in line for line in said)
    assert f"grey images of 16 bits, white is {2**bits - 1}" in images.reading(["train"]).line()
    found = {split: images.split(split).images for split in ("train", "val", "test")}
    whole = np.concatenate([x[np.arange(len(x))] for x in found.values()])
    assert whole.max() == 255
    brightest = whole[np.argmax([image.max() for image in whole])]
    assert np.array_equal(brightest[0], ramp >> (bits - 8))
    assert np.median([image.max() for image in whole]) == 127
    old = folder(root, cache, **options)  # as a run trained before there was such an option
    assert max(old.split(split).images[:].max() for split in ("train", "val", "test")) == (2**bits - 1) >> 8


def test_what_is_white_may_be_said_and_a_dark_part_of_the_set_is_told(root, cache):
    for i in range(4):
        grey16(root / f"{i}.png", 4095)
    grey16(root / "4.png", 65535)
    options = {"shape": (1, 20, 24), "max_unreadable": 1.0}
    with pytest.warns(UserWarning, match="4 of 5 grey images of 16 bits use 4 bits fewer than the others"):
        folder(root, cache, white="auto", **options).prepare_data()
    said = folder(root, cache, white=4095, **options)
    assert all(said.split(split).images[:].max() == 255 for split in ("train", "val", "test"))
    for wrong in (0, 65536, "max"):
        with pytest.raises(DataError, match=f"data.white={wrong}: expected auto, or a number"):
            folder(root, cache, white=wrong)


def test_colour_images_of_12_bits_in_16_are_told(root, cache):
    """Pillow reads their upper bytes alone: 16 levels."""
    root.mkdir()
    for i in range(5):
        rows = b"".join(b"\0" + np.full((9, 3), 4095, ">u2").tobytes() for _ in range(9))
        content = b"\x89PNG\r\n\x1a\n"
        head = struct.pack(">IIBBBBB", 9, 9, 16, 2, 0, 0, 0)
        for chunk in (b"IHDR" + head, b"IDAT" + zlib.compress(rows), b"IEND"):
            content += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        (root / f"{i}.png").write_bytes(content)
    with pytest.warns(UserWarning, match="5 colour images of 16 bits use 16 of 256 levels .* save them as 8 bits"):
        folder(root, cache, white="auto").prepare_data()


@pytest.mark.parametrize("kind", ["avif", "jp2", "JPG", "no_suffix", "webp", "TIFF", "mpo", "1"])
def test_images_of_many_kinds_and_names_are_read(root, cache, kind):
    root.mkdir()
    name = {"no_suffix": "image", "1": "image.1"}.get(kind, f"with space (1), a=b [c] {{d}} #e.{kind}")
    try:
        form = {"no_suffix": "JPEG", "1": "PNG", "jp2": "JPEG2000", "JPG": "JPEG"}.get(kind, kind.upper())
        picture(7).save(root / name, form)
    except (KeyError, OSError):
        pytest.skip(f"Pillow writes no {kind} here")
    images = folder(root, cache)
    assert len(images.split("train").images) == 1
    assert "left out" not in images.reading().line()


def test_hidden_and_system_files_are_no_images(root, cache):
    write(root, *[f"{kind}/{i}.png" for kind in "ab" for i in range(5)])
    write(root, "__MACOSX/a/1.png", ".cache/2.png", "a/._3.png")
    (root / "Thumbs.db").touch()
    images = folder(root, cache)
    assert images.facts()["class_names"] == ["a", "b"]
    assert sum(images.reading().counts.values()) == 10
