"""What is kept of images is found again for the same images alone: the key is their content."""

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.test_codes import Tokenizer, codes_of
from tests.data.test_folder import folder, numbers
from tests.data.test_idx import NAMES, idx_bytes, mnist, write_four
from vqgen.data.sources import shapes
from vqgen.data.sources.cifar10 import CIFAR10
from vqgen.data.sources.shapes import Shapes
from vqgen.errors import DataError


def write(path: Path, colour: int) -> None:
    """A picture whose file has the same size whatever its colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(path, "BMP")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(10):
        write(tmp_path / "images" / f"{number}.bmp", number)
    return tmp_path / "images"


def opened(root: Path, **changes: Any) -> Any:
    images = folder(root, root.parent / "cache", max_unreadable=0.5, **changes)
    images.prepare_data()
    return images


@pytest.mark.parametrize("prepare_up_to", [1.0, 0.0])
def test_pictures_rewritten_at_the_same_size_are_read_again(root: Path, prepare_up_to: float):
    before = opened(root, prepare_up_to=prepare_up_to)
    found = numbers(before)
    for number in range(10):
        write(root / f"{number}.bmp", 100 + number)
    after = opened(root, prepare_up_to=prepare_up_to)
    assert numbers(after) == [100 + number for number in found]
    assert after.record("train")["content"] != before.record("train")["content"]
    assert after.record("train")["digest"] == before.record("train")["digest"]


@pytest.mark.parametrize("prepare_up_to", [1.0, 0.0])
def test_other_pictures_of_the_same_sizes_and_times_are_told_and_so_are_codes_of_them(root: Path, prepare_up_to: float):
    """As archives of one program unpack: all with the same time."""
    options = {"size": 16, "shape": (3, 16, 16), "prepare_up_to": prepare_up_to}
    before, codes, tokenizer = opened(root, **options), root.parent / "codes", Tokenizer()
    codes_of(codes, tokenizer, before)
    for path in sorted(root.iterdir()):
        content, times = path.read_bytes(), path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert numbers(opened(root, **options)) == numbers(before)  # the same pictures, written again
    for path in sorted(root.iterdir()):
        times = path.stat()
        write(path, 255 - int(path.stem))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(DataError, match=r"was made of other files, .* delete it, and it is made again"):
        opened(root, **options)
    shutil.rmtree(root.parent / "cache")
    after = opened(root, **options)
    assert after.key == before.key
    with pytest.raises(DataError, match=r"holds codes of another content: .* delete it, and it is made again"):
        codes_of(codes, tokenizer, after).split("train")


def test_a_file_that_was_still_being_written_at_its_full_size_is_read_once_it_is_whole(root: Path):
    whole = (root / "3.bmp").read_bytes()
    (root / "3.bmp").write_bytes(b"\0" * len(whole))
    with pytest.warns(UserWarning, match="1 of 10 image files .* 3.bmp"):
        before = opened(root)
    (root / "3.bmp").write_bytes(whole)
    after = opened(root)
    assert sum(len(before.split(name).images) for name in ("train", "val", "test")) == 9
    assert sum(len(after.split(name).images) for name in ("train", "val", "test")) == 10
    assert not after.unreadable()


def test_files_that_are_as_they_were_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch):
    before = opened(root)
    monkeypatch.setattr("vqgen.data.files.files.prepare", None)
    assert numbers(opened(root)) == numbers(before)


def test_a_copy_elsewhere_has_the_same_record(root: Path):
    copied = root.parent / "other" / "images"
    shutil.copytree(root, copied, copy_function=shutil.copyfile)  # without the times
    for path in copied.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    records = [[opened(place).record(name) for name in ("train", "val", "test")] for place in (root, copied)]
    assert records[0] == records[1]


def test_a_record_does_not_depend_on_how_images_are_prepared(root: Path):
    assert opened(root).record("test") == opened(root, size=4, shape=(1, 4, 4), prepare_up_to=0.0).record("test")


def test_what_no_run_will_use_again_is_told_and_kept(root: Path):
    cache = root.parent / "cache"
    older = cache / "folder-8x8-0123456789ab" / "train-array"
    older.mkdir(parents=True)
    (older / "unreadable.json").write_text("[]")  # as version 2 left it
    with pytest.warns(UserWarning, match=r"not used any more: rm -r \S*folder-8x8-0123456789ab$"):
        first = opened(root)
    shutil.rmtree(older.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(root)
        opened(root, margin=2)  # another preparation of the same files
    write(root / "0.bmp", 77)
    with pytest.warns(UserWarning, match=f"rm -r .*{first.key}"):
        opened(root)
    assert (cache / first.key).is_dir()


def test_codes_of_pictures_rewritten_at_the_same_size_are_extracted_again(root: Path):
    tokenizer = Tokenizer()
    options = {"size": 16, "shape": (3, 16, 16)}
    codes_of(root.parent / "codes", tokenizer, opened(root, **options))
    codes_of(root.parent / "codes", tokenizer, opened(root, **options))
    assert tokenizer.seen == 10
    for number in range(10):
        write(root / f"{number}.bmp", 255 - number)
    with pytest.warns(UserWarning, match="not used any more: rm -r"):
        codes_of(root.parent / "codes", tokenizer, opened(root, **options))
    assert tokenizer.seen == 20


def test_other_idx_files_under_the_same_names_are_another_source_and_zipping_them_is_not(tmp_path: Path):
    write_four(tmp_path)
    key = mnist(tmp_path).key
    write_four(tmp_path, zipped=False)  # read before the others
    assert mnist(tmp_path).key == key
    (tmp_path / NAMES[1]).write_bytes(idx_bytes(np.full(20, 3, np.uint8)))  # other labels, same size
    relabelled = mnist(tmp_path).key
    (tmp_path / NAMES[0]).write_bytes(idx_bytes(np.zeros((20, 28, 28), np.uint8)))
    assert len({key, relabelled, mnist(tmp_path).key}) == 3


def test_other_cifar_files_under_the_same_names_are_another_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vqgen.data.sources.small_images.NUM_VAL", 1)

    def source(value: int) -> CIFAR10:
        for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
            row = np.full((2, 3073), value, np.uint8)
            row[:, 0] = 1
            (tmp_path / f"{name}.bin").write_bytes(row.tobytes())
        return CIFAR10(root=str(tmp_path), shape=(3, 32, 32), batch_size=2, seed=0, num_workers=0)

    keys = [source(5).key, source(6).key]
    assert keys[0] != keys[1]


def test_another_drawing_of_any_shape_is_another_source(monkeypatch: pytest.MonkeyPatch):
    def source() -> Shapes:
        return Shapes(16, (3, 16, 16), 20, 8, 8, batch_size=4, seed=0, num_workers=0)

    keys, record = {source().key}, source().record("train")
    for name, draw in shapes.DISTANCES.items():
        monkeypatch.setitem(shapes.DISTANCES, name, lambda u, v, draw=draw: draw(u, v) + np.float32(0.1))
        keys.add(source().key)
    for name in shapes.COLOURS:
        monkeypatch.setitem(shapes.COLOURS, name, (1, 2, 3))
        keys.add(source().key)
    assert len(keys) == 1 + len(shapes.DISTANCES) + len(shapes.COLOURS)
    assert source().record("train") == record  # other machines may round a pixel another way


def test_a_preparation_that_does_not_say_what_it_is_of_is_damaged(root: Path):
    images = opened(root)
    meta = root.parent / "cache" / images.key / "train-array" / "meta.json"
    assert json.loads(meta.read_text())["origin"] == os.path.realpath(root)
    meta.write_text("{}")
    with pytest.raises(DataError, match=r"is not whole .* delete it, and it is made again"):
        folder(root, root.parent / "cache").record("train")
