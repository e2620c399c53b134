import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from tqdm import tqdm

from vqgen.batch import SPLITS
from vqgen.data.codes import coded_parts
from vqgen.data.codes.coded_parts import smallest_type
from vqgen.data.codes.codes import Codes
from vqgen.data.loading import order
from vqgen.data.sources.shapes import Shapes
from vqgen.errors import DataError

K = [300, 17]


class Tokenizer(nn.Module):
    """Two levels: 2x2 means of the red channel, and 4x3 cells of it; counts the images it has seen."""

    def __init__(self, slow=0.0):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen, self.modes, self.slow = 0, set(), slow

    def encode(self, x):
        time.sleep(self.slow)
        self.seen += len(x)
        self.modes.add((self.training, torch.is_grad_enabled()))
        level = nn.functional.adaptive_avg_pool2d(x[:, 0] * self.scale, (2, 2)) * 149 + 149
        return [level.long(), (nn.functional.adaptive_avg_pool2d(x[:, 0], (4, 3)) * 8 + 8).long()]


class Flipped(Shapes):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.flip = True


def images(source=Shapes, seed=0):
    return source(16, (3, 16, 16), 70, 20, 10, 8, seed, 0)


def codes_of(tmp_path, tokenizer=None, source=None, fingerprint="a" * 40, level=1):
    data = Codes(source or images(), (tokenizer or Tokenizer()).encode, fingerprint, K, level, str(tmp_path), 8, 0)
    data.prepare_data()
    return data


def test_stored_codes_are_those_of_the_encoder_in_evaluation_mode(tmp_path):
    tokenizer = Tokenizer()
    data = codes_of(tmp_path, tokenizer)
    expected = tokenizer.encode(data.images.batch("train", np.arange(70)).x)
    batch = data.batch("train", np.arange(70))
    assert all(torch.equal(a, b) for a, b in zip(batch.codes, expected, strict=True))
    assert batch.codes[0].dtype == torch.int64
    assert np.array_equal(batch.label, data.images.split("train").labels)
    assert tokenizer.modes == {(False, False), (True, True)}
    assert tokenizer.training


def test_codes_are_stored_in_the_smallest_unsigned_type_and_read_as_memory_maps(tmp_path):
    levels = codes_of(tmp_path).split("train").codes
    assert [level.dtype for level in levels] == [np.uint16, np.uint8]
    assert all(isinstance(level.base, np.memmap) for level in levels)
    assert [smallest_type(k).itemsize for k in (2, 256, 257, 65_536, 65_537)] == [1, 1, 2, 2, 4]


def test_codes_are_extracted_once_and_used_by_every_later_run(tmp_path):
    tokenizer = Tokenizer()
    codes_of(tmp_path, tokenizer)
    assert tokenizer.seen == 100
    codes_of(tmp_path, tokenizer, level=0)
    assert tokenizer.seen == 100
    codes_of(tmp_path, tokenizer, images(seed=1))
    codes_of(tmp_path, tokenizer, fingerprint="b" * 40)
    assert tokenizer.seen == 300


def test_batches_hold_the_levels_down_to_the_one_asked_for(tmp_path):
    batch = next(iter(codes_of(tmp_path, level=0).val_dataloader()))
    assert [tuple(codes.shape[1:]) for codes in batch.codes] == [(2, 2)]
    batch = next(iter(codes_of(tmp_path, level=1).train_dataloader()))
    assert [tuple(codes.shape) for codes in batch.codes] == [(8, 2, 2), (8, 4, 3)]
    with pytest.raises(DataError, match="level=2: the tokenizer has levels 0 to 1"):
        codes_of(tmp_path, level=2)


def test_flipped_training_images_are_extra_rows_and_evaluation_has_none(tmp_path):
    tokenizer = Tokenizer()
    data = codes_of(tmp_path, tokenizer, images(Flipped))
    x = data.images.batch("train", np.arange(70)).x
    batch = data.batch("train", np.arange(70, 140))
    assert torch.equal(batch.codes[1], tokenizer.encode(x.flip(-1))[1])
    assert np.array_equal(batch.label, data.images.split("train").labels)
    assert batch.index.tolist() == list(range(70))
    assert len(data.split("val").codes[0]) == 20
    assert len(data.train_dataloader()) == 140 // 8


@pytest.mark.parametrize(("key", "value"), [("fingerprint", "c" * 40), ("source", "else"), ("num_embeddings", [1, 1])])
def test_a_foreign_store_is_an_error_that_names_both(tmp_path, key, value):
    data = codes_of(tmp_path)
    path = data.store.folder("val") / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(DataError, match=f"another {key}") as caught:
        data.split("val")
    assert str(value) in str(caught.value)
    assert str(path.parent) in str(caught.value)


def array_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "cut off late": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another array": lambda path: path.write_bytes(array_bytes(np.zeros(3))),
    "a list": lambda path: path.write_text("[1, 2]"),
}


@pytest.mark.parametrize("name", ["meta.json", "level1.npy", "labels.npy"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_an_error_that_says_what_to_delete(tmp_path, name, damage):
    data = codes_of(tmp_path)
    folder = data.store.folder("val")
    DAMAGES[damage](folder / name)
    with pytest.raises(DataError) as caught:
        data.split("val")
    assert str(caught.value).startswith(f"{folder} is not whole (")
    assert str(caught.value).endswith("delete it, and it is made again.")
    assert "\n" not in str(caught.value)
    shutil.rmtree(folder)
    assert len(codes_of(tmp_path).split("val").codes[0]) == 20


def test_a_store_lacking_a_key_is_not_whole(tmp_path):
    data = codes_of(tmp_path)
    path = data.store.folder("val") / "meta.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "labels"}))
    with pytest.raises(DataError, match=r"is not whole \('labels'\)"):
        data.split("val")


def test_codes_out_of_range_are_an_error_and_leave_nothing(tmp_path):
    with pytest.raises(DataError, match="for 300 embeddings"):
        codes_of(tmp_path, Shifted())
    assert files(tmp_path) == []


class Shifted(Tokenizer):
    def encode(self, x):
        return [codes + 20 for codes in super().encode(x)]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def in_process(target, *arguments):
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def slowly(tmp_path):
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # of its own: killed with the lock that forks share, it would keep all others out
    codes_of(tmp_path, Tokenizer(slow=0.3))


def test_an_interrupted_extraction_leaves_nothing_half_written(tmp_path):
    process = in_process(slowly, tmp_path)
    while not any(path.name == "level0.npy" for path in files(tmp_path)):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    data = codes_of(tmp_path)
    assert len(data.split("train").codes[0]) == 70
    assert not [path for path in files(tmp_path) if ".part-" in str(path)]


def test_two_processes_that_extract_the_same_codes_do_it_once(tmp_path):
    processes = [in_process(slowly, tmp_path) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    tokenizer = Tokenizer()
    codes_of(tmp_path, tokenizer)
    assert tokenizer.seen == 0
    assert not [path for path in files(tmp_path) if ".part-" in str(path)]


@pytest.fixture
def in_parts(monkeypatch):
    """Batches of 4 images, parts of 8."""
    monkeypatch.setattr(coded_parts, "MOST_IMAGES", 4)
    monkeypatch.setattr(coded_parts, "BATCHES", 2)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("source", [Shapes, Flipped])
def test_codes_made_in_parts_are_those_made_at_once(tmp_path, monkeypatch, source):
    parts = codes_of(tmp_path / "parts", source=images(source))
    monkeypatch.undo()
    whole = codes_of(tmp_path / "whole", source=images(source))
    for split in SPLITS:
        for a, b in zip(parts.split(split).codes, whole.split(split).codes, strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(parts.split(split).given["label"], whole.split(split).given["label"])
    assert not [path for path in (tmp_path / "parts").rglob("*") if ".parts" in path.name]


def counted(tmp_path, number, slow):
    """Extract, and leave behind how many images this process has encoded."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())
    tokenizer = Tokenizer(slow)
    codes_of(tmp_path, tokenizer)
    (tmp_path / f"seen{number}").write_text(str(tokenizer.seen))


@pytest.mark.usefixtures("in_parts")
def test_three_processes_share_the_parts_and_take_over_those_of_one_that_is_killed(tmp_path):
    processes = [in_process(counted, tmp_path, number, 0.15) for number in range(3)]
    while sum(path.name == "level0.npy" for path in files(tmp_path)) < 5:  # of two finished parts, and of three begun
        time.sleep(0.01)
    os.kill(processes[1].pid, signal.SIGKILL)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, -signal.SIGKILL, 0]
    seen = [int((tmp_path / f"seen{number}").read_text()) for number in (0, 2)]
    assert min(seen) >= 8
    assert sum(seen) <= 100  # nothing twice but what the killed one had begun
    data, alone = codes_of(tmp_path, tokenizer := Tokenizer()), codes_of(tmp_path / "alone")
    assert tokenizer.seen == 0
    for split in SPLITS:
        for a, b in zip(data.split(split).codes, alone.split(split).codes, strict=True):
            assert np.array_equal(a, b)
    assert not [path for path in files(tmp_path) if ".part" in str(path)]


@pytest.mark.parametrize("slow", [0.0, 0.03])
@pytest.mark.parametrize("small", [False, True])
def test_processes_that_extract_together_make_nothing_twice(tmp_path, monkeypatch, small, slow):
    if small:
        monkeypatch.setattr(coded_parts, "MOST_IMAGES", 4)
        monkeypatch.setattr(coded_parts, "BATCHES", 2)
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        processes = [in_process(counted, folder, number, slow) for number in range(4)]
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 4
        assert sum(int((folder / f"seen{number}").read_text()) for number in range(4)) == 100
        assert not [path for path in files(folder) if ".part" in str(path)]


@pytest.mark.usefixtures("in_parts")
def test_an_extraction_that_was_killed_goes_on_with_the_next_part(tmp_path):
    process = in_process(counted, tmp_path, 0, 0.1)
    while sum(path.name == "level0.npy" for path in files(tmp_path)) < 4:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    tokenizer = Tokenizer()
    data = codes_of(tmp_path, tokenizer)
    assert tokenizer.seen <= 100 - 3 * 8
    assert len(data.split("train").codes[0]) == 70


def test_a_split_with_fewer_images_than_processes_is_told_before_the_training(tmp_path, monkeypatch):
    data = codes_of(tmp_path)
    for ranks, told in ((10, None), (11, "split test holds 10"), (21, "split val holds 20")):
        monkeypatch.setattr(order, "place", lambda ranks=ranks: order.Place(0, ranks))
        for source in (data, data.images):
            with pytest.raises(DataError, match=told) if told else nullcontext():
                source.setup("fit")
