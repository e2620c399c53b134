"""What was read is said, in one line, by every source."""

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY, TINY_PRIOR
from vqgen.data.codes.codes import Codes
from vqgen.data.images import Images, Split, hold_out
from vqgen.data.reading import Reading
from vqgen.data.sources import small_images
from vqgen.data.sources.folder import Folder
from vqgen.data.sources.idx import FashionMnist
from vqgen.data.sources.shapes import Shapes


def shapes():
    return Shapes(size=8, shape=(3, 8, 8), num_train=1200, num_val=3, num_test=2, batch_size=4, seed=5, num_workers=0)


def folder(root, cache, **changes):
    options = {
        "size": 8,
        "shape": (3, 8, 8),
        "batch_size": 4,
        "seed": 0,
        "num_workers": 0,
        "prepare_up_to": 1.0,
        "max_unreadable": 1.0,
        "val_fraction": 0.1,
        "test_fraction": 0.2,
    } | changes
    return Folder(root=str(root), cache=str(cache), **options)


def test_the_line_says_place_counts_classes_how_and_what_was_left_out():
    counts, left_out = {"train": 36000, "val": 2}, {".heic": 1234, "hidden": 0}
    reading = Reading("data/pets", counts, ["cat", "dog"], "by folders", left_out)
    assert reading.line() == (
        "Data of data/pets: 36,000 train, 2 val; 2 classes (cat, dog); by folders; left out: 1,234 .heic"
    )


def test_the_line_is_one_that_can_be_printed_however_many_classes_there_are():
    names = ["a\nb", "\udcff", *map(str, range(998))]
    line = Reading("x", {"train": 1}, names).line()
    assert line.isprintable()
    assert line.endswith("; 1,000 classes (a\\nb, \\udcff, 0, 1, 2, 3, 4, 5, 6, ..., 997)")


def test_many_reasons_are_summed_up():
    line = Reading("x", {"train": 1}, left_out={f".{i}": 100 - i for i in range(50)}).line()
    assert ".0, " in line
    assert ".49" not in line
    assert line.endswith(f"{sum(100 - i for i in range(8, 50)):,} more for 42 other reasons")


class Three(Images):
    def load(self, split):
        return Split(np.zeros((3, 1, 4, 4), np.uint8), np.zeros(3, np.int64))


def test_a_source_of_ones_own_is_said_without_a_word_of_it():
    reading = Three((1, 4, 4), batch_size=1, seed=0, num_workers=0).reading()
    assert reading.counts == {"train": 3, "val": 3, "test": 3}
    assert reading.line().startswith("Data of Three: 3 train")


def test_it_is_said_once_and_of_a_split_when_it_is_used(capsys):
    """By a task on the standard error: its output is the paths of its results."""
    said = []
    images = shapes()
    images.tell(say=said.append)
    images.tell(say=said.append)
    images.split("train")
    assert said == [
        "Data of shapes drawn at 8 x 8 with seed 5: 1,200 train, 3 val, 2 test; "
        f"{len(images.class_names)} classes ({', '.join(images.class_names)}); each drawn from numbers of its own"
    ]
    images = shapes()
    images.split("test")
    images.split("test")
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("Data of shapes drawn at 8 x 8 with seed 5: 2 test; ")
    assert errors.count("\n") == 1


def test_files_left_out_are_counted_by_reason(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    for i in range(10):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(root / f"{i}.png")
    for name in ("a.heic", "b.HEIC", "notes.txt", "._1.png", ".hidden.jpg", "Thumbs.db", ".DS_Store", "no_suffix"):
        (root / name).write_bytes(b"no image")
    Image.new("RGB", (9, 9), (99, 0, 0)).save(root / "really", "JPEG")
    (root / "empty.png").touch()
    (root / "__MACOSX").mkdir()
    Image.new("RGB", (9, 9)).save(root / "__MACOSX" / "x.png")
    (root / "again").symlink_to(root)
    reading = folder(root, tmp_path / "cache").reading()
    assert sum(reading.counts.values()) == 11
    assert reading.left_out == {
        "unreadable": 1,
        ".heic (a kind of image that is not read here)": 2,
        ".txt (no image)": 1,
        "hidden": 2,
        "files of no kind of image": 1,
        "Thumbs.db": 1,
        "__MACOSX": 1,
        "folders (links) that were read under another name": 1,
        "images beside those folders": 0,
    }


def test_the_idx_files_and_the_codes_of_their_images_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(FashionMnist, "also_in", ())
    for name, n in (("train", 60), ("t10k", 20)):
        for kind, shape in (("images-idx3", (n, 28, 28)), ("labels-idx1", (n,))):
            head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
            (tmp_path / f"{name}-{kind}-ubyte").write_bytes(head + bytes(int(np.prod(shape))))
    monkeypatch.setattr(small_images, "NUM_VAL", 10)
    images = FashionMnist(root=str(tmp_path), shape=(1, 28, 28), batch_size=4, seed=0, num_workers=0, flip=True)
    images.prepare_data()
    assert images.reading().line().startswith(f"Data of {tmp_path}: 50 train, 10 val, 20 test; 10 classes (t-shirt,")
    said = []
    monkeypatch.setattr("vqgen.data.codes.codes.rank_zero_info", said.append)
    codes = Codes(images, lambda x: [x[:, 0, :7, :7].long().mul(0)], "f" * 16, [4], 0, str(tmp_path / "c"), 8, 0)
    codes.prepare_data()
    codes.tell()
    codes.tell()
    (line,) = said
    assert f"Data of {tmp_path / 'c'}/fashionmnist-28x28-" in line
    assert ": 100 train, 10 val, 20 test; 10 classes (t-shirt," in line
    assert "codes of 7x7 positions, one map an image, a second one of each training image mirrored" in line


def test_so_few_published_images_that_none_were_left_to_train_on_hold_out_a_tenth():
    held = {n: {name: len(part) for name, part in hold_out(n, 5000).items()} for n in (100, 5001, 60_000, 5)}
    assert held == {
        100: {"train": 90, "val": 10},
        5001: {"train": 1, "val": 5000},
        60_000: {"train": 55_000, "val": 5000},
        5: {"train": 4, "val": 1},
    }


@pytest.mark.parametrize("n", [12_345, 60_000])
def test_the_published_hold_out_is_as_it_was(n):
    from vqgen.data.loading.counter import permutation

    order = permutation(n, "hold_out")
    held = hold_out(n, 5000)
    assert np.array_equal(held["val"], np.sort(order[-5000:]))
    assert np.array_equal(held["train"], np.sort(order[:-5000]))


def said_by(done):
    """The lines of a program that ended well."""
    assert done.returncode == 0, done.stderr
    return (done.stdout + "\n" + done.stderr).splitlines()


@pytest.mark.slow
def test_a_training_and_an_extraction_begin_with_the_line(command, vqvae_run, tmp_path):
    """Of two processes the first one says it."""
    ddp = ["hardware=ddp", "hardware.accelerator=cpu", "hardware.devices=2", "hardware.precision=32-true"]
    words = [word for word in TINY if not word.startswith("hardware")]
    done = command("train.py", *words, *ddp, "trainer.max_epochs=1", f"run_dir={tmp_path / 'r'}")
    said = [line for line in said_by(done) if line.startswith("Data of ")]
    assert len(said) == 1
    assert said[0].startswith("Data of shapes drawn at 16 x 16 with seed 0: 96 train, 32 val, 32 test; ")
    words = ["model=gated_pixelcnn", f"tokenizer={vqvae_run}", f"run_dir={tmp_path / 'p'}", *TINY_PRIOR]
    done = command("train.py", *words, "trainer.max_epochs=1", cwd=tmp_path)
    said = [line for line in said_by(done) if line.startswith("Data of ")]
    assert len(said) == 2
    assert "shapes drawn at 16 x 16" in said[0]
    assert "codes of 4x4 positions, one map an image" in said[1]
