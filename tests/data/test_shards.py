"""Images in tar files, as webdataset writes them."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Command
from vqgen.data.files.layout import split_in
from vqgen.data.files.member import members
from vqgen.data.sources import Folder, Shards
from vqgen.errors import DataError

OPTIONS: dict[str, Any] = {
    **{"size": 8, "shape": (3, 8, 8), "batch_size": 4, "seed": 0, "num_workers": 0, "prepare_up_to": 1.0},
    **{"max_unreadable": 0.01, "flip": False, "margin": 0, "val_fraction": 0.1, "test_fraction": 0.2},
}


def content(number: int, kind: str = "png") -> bytes:
    """A picture of its own: constant colour."""
    file = io.BytesIO()
    Image.new("RGB", (20, 16), (number % 256, number // 256, 200)).save(file, kind)
    return file.getvalue()


def pack(tar: Path, files: dict[str, bytes], mode: str = "w") -> None:
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def labelled(first: int, labels: list[str]) -> dict[str, bytes]:
    files = {}
    for number, label in enumerate(labels, first):
        files |= {f"{number:04}.png": content(number), f"{number:04}.cls": label.encode()}
    return files


def shards(tmp_path: Path, **changes: Any) -> Shards:
    options = OPTIONS | changes
    return Shards(root=str(tmp_path / "tars"), cache=str(tmp_path / "cache"), **options)


def numbers(images: Any, split: str = "train") -> list[int]:
    x = images.split(split).images
    return x[np.arange(len(x))][:, 0, 0, 0].tolist()


def everywhere(images: Any) -> list[int]:
    return [number for split in ("train", "val", "test") for number in numbers(images, split)]


@pytest.mark.parametrize("prepare_up_to", [1.0, 0.0], ids=["kept", "decoded by workers"])
def test_images_and_classes_are_those_that_were_packed(tmp_path: Path, prepare_up_to: float):
    pack(tmp_path / "tars" / "train-000.tar", labelled(0, ["2", "10", "2"]))
    pack(tmp_path / "tars" / "train-001.tar", labelled(3, ["0", "10"]))
    pack(tmp_path / "tars" / "val-000.tar", labelled(5, ["10", "7"]))
    images = shards(tmp_path, prepare_up_to=prepare_up_to)
    images.prepare_data()
    assert images.class_names == ["0", "2", "10"]
    train = images.split("train")
    assert dict(zip(numbers(images), train.labels.tolist(), strict=True)) == {0: 1, 1: 2, 2: 1, 3: 0, 4: 2}
    assert numbers(images, "val") == numbers(images, "test") == [5]  # no training image is of class 7
    line = images.reading().line()
    assert "5 train, 1 val, 1 test; 3 classes" in line
    assert "1 of val (no class, or none that training has)" in line


def test_tar_files_of_no_split_are_divided_and_the_index_is_made_once(tmp_path: Path):
    for part in range(4):
        pack(tmp_path / "tars" / f"{part:05}.tar", labelled(25 * part, ["cat", "dog"] * 12 + ["cat"]))
    images = shards(tmp_path)
    images.prepare_data()
    counts = [images.count(split) for split in ("train", "val", "test")]
    assert counts == [70, 10, 20]
    assert sorted(everywhere(images)) == list(range(100))
    assert images.class_names == ["cat", "dog"]
    (index,) = (tmp_path / "cache").glob("index-*/index.json")
    written = index.stat().st_mtime_ns
    again = shards(tmp_path)
    assert numbers(again) == numbers(images)
    assert index.stat().st_mtime_ns == written
    pack(tmp_path / "tars" / "00003.tar", labelled(200, ["cat"] * 3))
    assert 200 in everywhere(shards(tmp_path))


def test_batches_come_in_the_order_of_those_of_a_folder(tmp_path: Path):
    pack(tmp_path / "tars" / "train.tar", {f"{i:04}.png": content(i) for i in range(20)})
    pack(tmp_path / "tars" / "test.tar", {"a.png": content(1)})
    for i in range(20):
        file = tmp_path / "images" / "train" / f"{i:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content(i))
    (tmp_path / "images" / "test").mkdir()
    (tmp_path / "images" / "test" / "a.png").write_bytes(content(1))
    packed = shards(tmp_path)
    loose = Folder(root=str(tmp_path / "images"), cache=str(tmp_path / "cache"), layout="splits", **OPTIONS)

    def order(data: Any) -> list[list[int]]:
        data.prepare_data()
        return [batch.pixels[:, 0, 0, 0].tolist() for batch in data.train_dataloader()]

    assert numbers(packed) == numbers(loose) == list(range(20))
    assert order(packed) == order(loose)


def test_what_is_beside_the_images_is_counted(tmp_path: Path):
    files = {"a.jpg": content(1, "jpeg"), "a.json": b"{}", "b.seg.png": content(2), "c.cls": b"1", "d.jpg": b"no image"}
    pack(tmp_path / "tars" / "x.tar", files)
    images = shards(tmp_path, max_unreadable=1.0)
    with pytest.warns(UserWarning, match="are unreadable, such as x.tar@"):
        images.prepare_data()
    line = images.reading().line()
    for said in (
        ".json in tar files",
        "names of several dots, .png in tar files",
        ".cls in tar files (without an image)",
        "1 unreadable",
    ):
        assert said in line
    (told,) = images.unreadable()
    assert told.startswith("x.tar@")
    assert "/d.jpg: " in told


def test_some_images_without_a_class_take_it_from_all_and_a_warning_says_so(tmp_path: Path):
    pack(tmp_path / "tars" / "x.tar", labelled(0, ["1", "2"] * 10) | {"z.png": content(99)})
    images = shards(tmp_path)
    with pytest.warns(UserWarning, match=r"No classes: .*/z\.png has no \.cls beside it"):
        images.prepare_data()
    assert images.split("train").labels is None


@pytest.mark.parametrize(
    ("tars", "message"),
    [
        ({}, "there is no tar file"),
        ({"x.tar": {"a.txt": b"text"}}, "no tar file has an image"),
        ({"val-0.tar": {"a.png": content(1)}}, "the tar files are all of val, none of train"),
        ({"train-0.tar": {"a.png": content(1)}, "x.tar": {"b.png": content(2)}}, r"and x\.tar for no split: name it"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, tars: dict[str, dict[str, bytes]], message: str):
    (tmp_path / "tars").mkdir()
    for name, files in tars.items():
        pack(tmp_path / "tars" / name, files)
    with pytest.raises(DataError, match=message):
        shards(tmp_path).prepare_data()


def test_compressed_and_damaged_tar_files_are_named(tmp_path: Path):
    pack(tmp_path / "tars" / "train.tar.gz", {"a.png": content(1)}, "w:gz")
    with pytest.raises(DataError, match=r"train\.tar\.gz is compressed"):
        shards(tmp_path).prepare_data()
    (tmp_path / "tars" / "b.tar").write_bytes((tmp_path / "tars" / "train.tar.gz").read_bytes())
    with pytest.raises(DataError, match=r"b\.tar is no whole tar file"):
        shards(tmp_path).prepare_data()


def test_tar_files_that_change_behind_their_times_are_refused(tmp_path: Path):
    tar = tmp_path / "tars" / "x.tar"
    pack(tar, {f"{i}.png": content(i) for i in range(10)})
    shards(tmp_path).prepare_data()
    before = tar.stat()
    pack(tar, {f"{i}.png": content(i + 50) for i in range(10)})
    os.utime(tar, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert tar.stat().st_size == before.st_size
    with pytest.raises(DataError, match="was made of other files"):
        shards(tmp_path).prepare_data()


def test_what_webdataset_writes_is_read(tmp_path: Path):
    webdataset = pytest.importorskip("webdataset")
    (tmp_path / "tars").mkdir()
    with webdataset.ShardWriter(str(tmp_path / "tars" / "train-%06d.tar"), maxcount=7, verbose=0) as writer:
        for i in range(20):
            writer.write({"__key__": f"sample{i:04}", "png": content(i), "cls": i % 3, "json": {"number": i}})
    images = shards(tmp_path)
    images.prepare_data()
    assert len(list(members(tmp_path / "tars" / "train-000000.tar"))) == 21
    assert images.class_names == ["0", "1", "2"]
    train = images.split("train")
    assert [number % 3 for number in numbers(images)] == train.labels.tolist()


def test_a_training_reads_them(tmp_path: Path, command: Command):
    pack(tmp_path / "tars" / "train.tar", labelled(0, ["1", "2"] * 20))
    small = ["model.encoder.hidden_channels=8", "model.encoder.residual_channels=8", "trainer.max_epochs=1"]
    words = ["data=shards", f"data.root={tmp_path / 'tars'}", "data.size=16", "data.batch_size=8", "hardware=cpu"]
    done = command("train.py", *words, *small, "logger=csv", f"run_dir={tmp_path / 'run'}", "data.prepare_up_to=0")
    assert done.returncode == 0, done.stderr
    assert "classes (1, 2)" in done.stdout + done.stderr


def test_damaged_tar_files_are_named_and_not_read_up_to_the_damage(tmp_path: Path):
    whole = tmp_path / "tars" / "x.tar"
    pack(whole, {f"{i}.png": content(i) for i in range(10)})
    good = whole.read_bytes()
    step = good.index(b"1.png")
    damaged = {
        "cut at a border": good[: 5 * step],
        "cut in a header": good[: 5 * step + 150],
        "a header overwritten": good[: 4 * step] + b"x" * 512 + good[4 * step + 512 :],
        "two in one": good + good,
    }
    for contents in damaged.values():
        whole.write_bytes(contents)
        with pytest.raises(DataError, match=r"x\.tar is damaged, or several tar files in one, at byte [\d,]+: put"):
            shards(tmp_path).prepare_data()


WORDS = {
    **{"data-train-000": "train", "trainset_3": "train", "tr-000": "train", "cc-tr-000": None, "wiki-te-0": None},
    **{"imagenet-validation-1": "val", "eval-0": "val", "testing": "test", "photos-000": None},
}


@pytest.mark.parametrize(("name", "split"), WORDS.items())
def test_the_split_of_a_tar_file_is_a_word_of_its_name(name: str, split: str | None):
    assert split_in(name) == split


def test_an_index_is_of_one_folder(tmp_path: Path):
    for name, first in (("a", 0), ("b", 10)):
        tar = tmp_path / name / "train.tar"
        pack(tar, labelled(first, ["1", "2"] * 5))
        os.utime(tar, ns=(0, 0))
        images = Shards(root=str(tmp_path / name), cache=str(tmp_path / "cache"), **OPTIONS)
        images.prepare_data()
        assert sorted(everywhere(images)) == list(range(first, first + 10))


def test_labels_that_are_one_number_are_sorted_the_same_in_every_process(tmp_path: Path):
    pack(tmp_path / "tars" / "x.tar", labelled(0, ["01", "1", "2", "002"] * 5))
    images = shards(tmp_path)
    images.prepare_data()
    assert images.class_names == ["01", "1", "002", "2"]


def test_a_split_of_other_classes_is_one_line(tmp_path: Path):
    pack(tmp_path / "tars" / "train.tar", labelled(0, ["0", "1"] * 5))
    pack(tmp_path / "tars" / "val.tar", labelled(10, ["5"]))
    with pytest.raises(DataError, match=r"no image of val has a class that training has \(5 is not among 0, 1\)"):
        shards(tmp_path).prepare_data()


def test_links_are_followed_hidden_files_are_not_and_names_of_several_dots_are_told(tmp_path: Path):
    pack(
        tmp_path / "elsewhere" / "0.TAR",
        {f"{i}.PNG": content(i) for i in range(3)} | {"._0.png": b"", "__MACOSX/a.png": b""},
    )
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "train").symlink_to(tmp_path / "elsewhere")
    pack(tmp_path / "tars" / ".trash" / "old.tar", {"9.png": content(9)})
    pack(tmp_path / "tars" / "test.tar", {"8.png": content(8), "a.b.png": content(7)})
    (tmp_path / "tars" / "test.tar.idx").write_text("")
    images = shards(tmp_path)
    images.prepare_data()
    assert (numbers(images), numbers(images, "test")) == ([0, 1, 2], [8])
    assert images.left_out["hidden files in tar files"] == 2
    assert images.left_out["names of several dots, .png in tar files"] == 1
    assert not images.left_out["compressed tar files"]
    only = tmp_path / "only" / "x.tar"
    pack(only, {"0.input.jpg": b"", "0.target.jpg": b""})
    with pytest.raises(DataError, match=r"no tar file has an image \(2 names of several dots, \.jpg in tar files\)"):
        Shards(root=str(only.parent), cache=str(tmp_path / "cache"), **OPTIONS).prepare_data()
