"""`data=huggingface` reads what the library `datasets` wrote: every image once, in order, with its class."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY, Command
from vqgen.batch import SPLITS
from vqgen.data.sources import HuggingFace
from vqgen.environment import extras
from vqgen.errors import ConfigError, DataError


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with its own cache in the test's folder, and without network."""
    library = pytest.importorskip("datasets")
    import huggingface_hub.constants

    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "of_the_library")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (20, 16), (number, 0, 200))


def file_of(number: int) -> bytes:
    buffer = io.BytesIO()
    picture(number).save(buffer, "PNG")
    return buffer.getvalue()


def table(datasets: Any, numbers: range) -> Any:
    """A split of pictures of these numbers; the class of each is that of its number modulo 2."""
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["wasp", "ant"])}
    rows = {"image": [picture(i) for i in numbers], "label": [i % 2 for i in numbers]}
    return datasets.Dataset.from_dict(rows, datasets.Features(features))


def write(folder: Path, **splits: Any) -> Path:
    folder.mkdir(parents=True)
    for name, split in splits.items():
        split.to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))
    return folder


def source(root: Path | str, cache: Path, **changes: Any) -> HuggingFace:
    options: dict[str, Any] = {
        "size": 8,
        "shape": (3, 8, 8),
        "batch_size": 4,
        "seed": 0,
        "num_workers": 0,
        "max_unreadable": 0.01,
        "val_fraction": 0.1,
        "test_fraction": 0.2,
        "white": "auto",
    }
    images = HuggingFace(root=str(root), cache=str(cache), **options | changes)
    images.prepare_data()
    return images


def numbers(images: HuggingFace, split: str = "train") -> list[int]:
    x = images.split(split).images
    return x[np.arange(len(x))][:, 0, 0, 0].tolist()


def everywhere(images: HuggingFace) -> list[int]:
    return sorted(number for split in SPLITS for number in numbers(images, split))


@pytest.mark.parametrize("written", ["parquet", "saved"])
def test_the_splits_classes_and_order_are_those_of_the_set(datasets: Any, tmp_path: Path, written: str):
    splits = {"train": range(10), "validation": range(20, 24), "test": range(30, 33)}
    tables = {name: table(datasets, rows) for name, rows in splits.items()}
    if written == "saved":
        datasets.DatasetDict(tables).save_to_disk(str(tmp_path / "set"))
    else:
        write(tmp_path / "set", **tables)
    images = source(tmp_path / "set", tmp_path / "cache")
    for split, rows in zip(SPLITS, splits.values(), strict=True):
        assert numbers(images, split) == list(rows)
        assert images.split(split).labels.tolist() == [i % 2 for i in rows]
    assert images.facts()["class_names"] == ["wasp", "ant"]
    assert images.names("val", [1]) == ["validation[1]"]
    assert "10 train, 4 val, 3 test; 2 classes (wasp, ant)" in images.reading().line()
    assert "val is validation" in images.reading().line()


def test_one_saved_split_and_a_folder_of_images_are_read(datasets: Any, tmp_path: Path):
    table(datasets, range(10)).save_to_disk(str(tmp_path / "one"))
    assert len(numbers(source(tmp_path / "one", tmp_path / "cache"))) == 7
    for number in range(10):
        path = tmp_path / "files" / "train" / f"kind{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    images = source(tmp_path / "files", tmp_path / "cache")
    assert everywhere(images) == list(range(10))
    assert images.class_names == ["kind0", "kind1"]


def test_splits_are_found_by_their_names_or_named_and_others_said_to_be_left_out(datasets: Any, tmp_path: Path):
    kinds = {"train": range(10), "dev": range(20, 24), "eval": range(30, 33), "extra": range(40, 45)}
    root = write(tmp_path / "set", train=table(datasets, range(1)))
    datasets.DatasetDict({name: table(datasets, rows) for name, rows in kinds.items()}).save_to_disk(
        str(tmp_path / "of")
    )
    with pytest.raises(DataError, match=r"data.val=null: the set has dev and eval: name one of them"):
        source(tmp_path / "of", tmp_path / "cache")
    images = source(tmp_path / "of", tmp_path / "cache", val="dev", test="eval")
    assert [numbers(images, split) for split in SPLITS] == [list(kinds[name]) for name in ("train", "dev", "eval")]
    assert "left out: 1 splits (extra)" in images.reading().line()
    one = source(root, tmp_path / "cache")
    assert [numbers(one, split) for split in SPLITS] == [[0]] * 3


def test_splits_that_are_not_there_are_divided_off_the_training_images(datasets: Any, tmp_path: Path):
    root = write(tmp_path / "set", all=table(datasets, range(100)))
    images, again = source(root, tmp_path / "cache"), source(root, tmp_path / "again", seed=3)
    parts = [numbers(images, split) for split in SPLITS]
    assert [len(part) for part in parts] == [70, 10, 20]
    assert everywhere(images) == list(range(100))
    assert parts == [numbers(again, split) for split in SPLITS]
    for split, part in zip(SPLITS, parts, strict=True):
        assert images.split(split).labels.tolist() == [i % 2 for i in part]
    with_test = source(
        write(tmp_path / "two", train=table(datasets, range(50)), test=table(datasets, range(60, 64))),
        tmp_path / "cache",
    )
    assert numbers(with_test, "test") == [60, 61, 62, 63]
    assert [len(numbers(with_test, split)) for split in ("train", "val")] == [45, 5]


def test_what_is_prepared_is_read_without_the_library_and_made_anew_where_the_files_change(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = write(tmp_path / "set", train=table(datasets, range(10)))
    before = source(root, tmp_path / "cache")
    with monkeypatch.context() as without:
        without.setattr(extras, "find_spec", lambda name: None)
        without.setitem(sys.modules, "datasets", None)
        assert numbers(source(root, tmp_path / "cache")) == numbers(before)
    table(datasets, range(100, 120)).to_parquet(str(root / "train-00000-of-00001.parquet"))
    with pytest.warns(UserWarning, match="not used any more"):
        after = source(root, tmp_path / "cache")
    assert min(numbers(after)) >= 100
    assert before.content("train") != after.content("train")


def test_without_the_library_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"data=huggingface needs the package datasets: pip install 'vqgen\[datasets\]'"
    ):
        source("user/name", tmp_path / "cache")


@pytest.mark.parametrize(
    ("labels", "classes"), [([10, 9, 10, 2], ["2", "9", "10"]), (["b", "ä", "b", "a"], ["a", "b", "ä"])]
)
def test_a_table_of_another_hand_has_files_as_bytes_and_classes_without_names(
    datasets: Any, tmp_path: Path, labels: list[Any], classes: list[str]
):
    import pandas

    (tmp_path / "set").mkdir()
    columns = {"picture": [file_of(i) for i in range(4)], "kind": labels, "weight": [0.5] * 4}
    pandas.DataFrame(columns).to_parquet(tmp_path / "set" / "train.parquet")
    images = source(tmp_path / "set", tmp_path / "cache", label="kind")
    found = {
        n: images.class_names[label]
        for split in SPLITS
        for n, label in zip(numbers(images, split), images.split(split).labels, strict=True)
    }
    assert images.class_names == classes
    assert found == {number: str(label) for number, label in enumerate(labels)}
    assert source(tmp_path / "set", tmp_path / "cache").split("train").labels is None


def test_images_without_a_class_are_left_out_and_a_split_of_them_is_not_used(datasets: Any, tmp_path: Path):
    features = table(datasets, range(1)).features

    def of(labels: list[int | None]) -> Any:
        return datasets.Dataset.from_dict(
            {"image": [picture(i) for i in range(len(labels))], "label": labels}, features
        )

    root = write(tmp_path / "set", train=of([0, 1, None, -1] * 5), test=of([-1] * 4), validation=of([0, None, 1]))
    images = source(root, tmp_path / "cache")
    assert numbers(images, "val") == [0, 2]
    assert len(numbers(images)) + len(numbers(images, "test")) == 10
    line = images.reading().line()
    assert "test is a part of train" in line
    assert "10 of train (no class, or none that training has), 4 of test (no class" in line
    unlabelled = source(root, tmp_path / "cache", label=None)
    assert [len(numbers(unlabelled, split)) for split in SPLITS] == [20, 3, 4]


def test_of_a_split_without_the_column_no_class_is_known(datasets: Any, tmp_path: Path):
    splits = {"train": table(datasets, range(10)), "test": table(datasets, range(20, 25)).remove_columns("label")}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "set"))
    images = source(tmp_path / "set", tmp_path / "cache")
    assert everywhere(images) == list(range(10))
    assert "5 of test (no class" in images.reading().line()
    assert numbers(source(tmp_path / "set", tmp_path / "cache", label=None), "test") == list(range(20, 25))


def test_unreadable_images_are_left_out_up_to_the_fraction_that_is_allowed(datasets: Any, tmp_path: Path):
    files = [{"bytes": file_of(i) if i != 3 else b"no image", "path": None} for i in range(9)] + [None]
    rows = {"image": files, "label": [i % 2 for i in range(10)]}
    root = write(tmp_path / "set", train=datasets.Dataset.from_dict(rows, table(datasets, range(1)).features))
    with pytest.raises(DataError, match=r"2 of 10 image files in .* are unreadable, such as train\[3\]: Unidentified"):
        source(root, tmp_path / "cache")
    bad = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"", "path": None}], "label": [0]}, table(datasets, range(1)).features
    )
    with pytest.raises(DataError, match=r"train has no image to train on \(0: the file is empty\)"):
        source(write(tmp_path / "bad", train=bad), tmp_path / "cache")
    with pytest.warns(UserWarning, match="they are left out"):
        images = source(root, tmp_path / "cache", max_unreadable=0.5)
    assert images.unreadable()[1] == "train[9]: the file is empty"
    assert everywhere(images) == [0, 1, 2, 4, 5, 6, 7, 8]


def test_grey_images_of_12_bits_in_16_are_seen_in_their_own_range(datasets: Any, tmp_path: Path):
    deep = [Image.fromarray(np.full((8, 8), value, np.uint16)) for value in (4095, 2048, 0)]
    features = datasets.Features({"image": datasets.Image()})
    root = write(tmp_path / "set", train=datasets.Dataset.from_dict({"image": deep}, features))
    grey = {"shape": (1, 8, 8), "val_fraction": 0.3}
    with pytest.warns(UserWarning, match="use 12 of them: 4095 is taken for white"):
        images = source(root, tmp_path / "cache", **grey)
    assert everywhere(images) == [0, 128, 255]
    plain = source(root, tmp_path / "cache", white=65535, **grey)
    assert everywhere(plain) == [0, 8, 15]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": "trian"}, r"data.train=trian: the set has no such split \(did you mean train\?\)"),
        ({"image": "imgae"}, r"data.image=imgae: the set has no such column \(did you mean image\?\)"),
        ({"image": "label"}, r"data.image=label: that column holds ClassLabel.*, no images \(there are: image\)"),
        ({"label": "lable"}, r"data.label=lable: the set has no such column \(did you mean label\?\)"),
        ({"label": "image"}, r"data.label=image: that column holds Image.*, no classes \(there are: label\)"),
        (
            {"config": "small"},
            r"data.root=\S+/set cannot be opened: BuilderConfig 'small' not found. Available: .*default",
        ),
        ({"val_fraction": 1.5}, "data.val_fraction=1.5, data.test_fraction=0.2: together they are less than 1"),
    ],
)
def test_a_wrong_word_is_named_with_what_is_near(datasets: Any, tmp_path: Path, changes: dict[str, Any], said: str):
    root = write(tmp_path / "set", train=table(datasets, range(4)))
    with pytest.raises(DataError, match=said) as caught:
        source(root, tmp_path / "cache", **changes)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*/streamed"))


def test_a_set_that_can_be_taken_in_two_ways_asks_which(datasets: Any, tmp_path: Path):
    part = table(datasets, range(4))
    twice = datasets.concatenate_datasets([part, part.rename_columns({"image": "mask", "label": "kind"})], axis=1)
    root = write(tmp_path / "set", first=twice, second=twice)
    datasets.DatasetDict({"first": twice, "second": twice}).save_to_disk(str(tmp_path / "saved"))
    for changes, said in {
        (): "data.train=null: name the split to train on, one of first, second",
        ("train",): "data.image=auto: the set has several columns of images: take one of image, mask",
        ("train", "image"): "data.label=auto: the set has several: take one of label, kind, or null for none",
    }.items():
        words = {"train": "first", "image": "image"}
        with pytest.raises(DataError, match=said):
            source(tmp_path / "saved", tmp_path / "cache", **{key: words[key] for key in changes})
    assert root.is_dir()


def test_a_set_without_images_or_that_is_nowhere_is_refused_in_a_line(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("no\nimage\n")
    with pytest.raises(DataError, match=r"data.image=auto: the set has no column of images, only text"):
        source(tmp_path / "text", tmp_path / "cache")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none cannot be opened: .*doesn't contain any data files"):
        source(tmp_path / "none", tmp_path / "cache")
    with pytest.raises(DataError, match=r"/tex: there is no such folder \(did you mean \S+/text\?\). Set data.root "):
        source(tmp_path / "tex", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"tex is no folder here \(did you mean text\?\), and as a name on the hub: "):
        source("tex", tmp_path / "cache")
    with pytest.raises(
        DataError, match=r"data.root=user/name is no folder here, and as a name on the hub: .*user/name"
    ):
        source("user/name", tmp_path / "cache")


def test_a_set_of_the_hub_is_asked_for_by_name_part_and_revision_and_once(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def load_dataset(*words: Any, **options: Any) -> dict[str, Any]:
        asked.append((*words, options))
        return {"train": table(datasets, range(10)).to_iterable_dataset()}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    first, again = (source("user/name", tmp_path / "cache", config="small") for _ in range(2))
    assert asked == [("user/name", "small", {"revision": None, "streaming": True})]
    assert first.origin == "hf://datasets/user/name"
    assert everywhere(first) == everywhere(again) == list(range(10))
    pinned = source("user/name", tmp_path / "cache", config="small", revision="abc")
    assert len(asked) == 2
    assert pinned.key != first.key
    assert pinned.content("train") == first.content("train")


def test_images_elsewhere_are_fetched_and_only_those_that_are_not_there_are_left_out(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import fsspec

    for number in range(10):
        fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/{number}.png", file_of(number))

    def of(*paths: str) -> str:
        rows, features = {"image": [{"bytes": None, "path": path} for path in paths]}, {"image": datasets.Image()}
        split = datasets.Dataset.from_dict(rows, datasets.Features(features))
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: {"train": split.to_iterable_dataset()})
        return f"of_{len(paths)}"

    there = [f"memory://{tmp_path.name}/{number}.png" for number in range(10)]
    with pytest.warns(UserWarning, match=r"1 of 11 .* such as train\[10\]: .*lost.png"):
        images = source(of(*there, f"memory://{tmp_path.name}/lost.png"), tmp_path / "cache", max_unreadable=0.2)
    assert everywhere(images) == list(range(10))
    with pytest.raises(DataError, match=r"nowhere://a.png cannot be read: Protocol not known: nowhere"):
        source(of(*there, there[0], "nowhere://a.png"), tmp_path / "cache", max_unreadable=1.0)


def test_a_set_that_breaks_off_leaves_nothing_behind(datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = write(tmp_path / "set", train=table(datasets, range(10)))

    def broken(*_: Any) -> Any:
        yield 0, {"image": {"bytes": file_of(0), "path": None}, "label": 0}
        raise OSError("connection\nlost")

    monkeypatch.setattr(
        datasets.iterable_dataset.IterableDataset, "__iter__", lambda self: (row for _, row in broken())
    )
    with pytest.raises(DataError, match="The split train cannot be read after 1 images: connection lost"):
        source(root, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))


@pytest.mark.slow
def test_a_run_learns_from_a_set_and_its_images_are_found_where_they_have_moved(
    datasets: Any, tmp_path: Path, command: Command
):
    root = write(tmp_path / "set", train=table(datasets, range(40)), test=table(datasets, range(50, 60)))
    words = [word for word in TINY if not word.startswith(("data.num", "trainer.max_epochs"))]
    here = [
        f"data.root={root}",
        f"data_dir={tmp_path / 'data'}",
        f"run_dir={tmp_path / 'run'}",
        "logger=csv",
        "trainer.max_epochs=1",
    ]
    done = command("train.py", "data=huggingface", *words, *here)
    assert done.returncode == 0, done.stderr
    assert "38 train, 2 val, 10 test; 2 classes (wasp, ant); val is a part of train" in done.stdout + done.stderr
    moved = root.rename(tmp_path / "moved")
    done = command("sample.py", "task=reconstruct", f"run={tmp_path / 'run'}", "device=cpu", f"data_root={moved}")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_file()
