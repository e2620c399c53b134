"""Sources in the layout of their publishers, on small copies that the tests make."""

import io
import re
import tarfile
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from vqgen.data import cifar10
from vqgen.data.celeba import CelebA
from vqgen.data.cifar10 import CIFAR10
from vqgen.data.error import DataError
from vqgen.data.ffhq import FFHQ
from vqgen.data.imagenet import ImageNet


def files_source(kind, root, tmp_path, **changes):
    options = {
        "size": 8, "shape": (3, 8, 8), "batch_size": 4, "seed": 0, "num_workers": 0, "prepare_up_to": 1.0,
        "max_unreadable": 0.01, "flip": False, "margin": 0, "window": None,
    } | changes  # fmt: skip
    return kind(root=str(root), cache=str(tmp_path / "cache"), **options)


def write(path, value=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)


def cifar_rows(n, seed):
    rows = np.random.default_rng(seed).integers(0, 256, (n, 3073)).astype(np.uint8)
    rows[:, 0] %= 10
    return rows


@pytest.fixture
def cifar_files(monkeypatch):
    monkeypatch.setattr(cifar10, "_NUM_VAL", 7)
    names = [*cifar10._FILES["train"], *cifar10._FILES["test"]]
    return {name: cifar_rows(10, i) for i, name in enumerate(names)}


def pack(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, rows in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = rows.nbytes
            archive.addfile(member, io.BytesIO(rows.tobytes()))


def cifar10_images(root, **changes):
    options = {"shape": (3, 32, 32), "batch_size": 4, "seed": 0, "num_workers": 0} | changes
    return CIFAR10(root=str(root), **options)


@pytest.mark.parametrize("unpacked", [None, ".", "cifar-10-batches-bin"])
def test_cifar10_is_read_from_its_archive_or_what_was_in_it(tmp_path, cifar_files, unpacked):
    pack(tmp_path / "cifar-10-binary.tar.gz", cifar_files)
    if unpacked:
        (tmp_path / unpacked).mkdir(exist_ok=True)
        for name, rows in cifar_files.items():
            (tmp_path / unpacked / name).write_bytes(rows.tobytes())
        (tmp_path / "cifar-10-binary.tar.gz").unlink()
    images = cifar10_images(tmp_path, flip=True)
    assert [len(images.split(name).images) for name in ("train", "val", "test")] == [43, 7, 10]
    rows = cifar_files["test_batch.bin"]
    assert np.array_equal(images.split("test").images, rows[:, 1:].reshape(-1, 3, 32, 32))
    assert np.array_equal(images.split("test").labels, rows[:, 0])
    assert images.facts()["class_names"][3] == "cat"


def test_a_damaged_cifar10_is_an_error_that_names_the_file(tmp_path, cifar_files):
    files = {**cifar_files, "data_batch_3.bin": cifar_files["data_batch_3.bin"].ravel()[:-5]}
    pack(tmp_path / "cifar-10-binary.tar.gz", files)
    with pytest.raises(DataError, match=r"data_batch_3.bin in .* is not whole"):
        cifar10_images(tmp_path).split("train")
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"data_batch_1.bin in .* cannot be read"):
        cifar10_images(tmp_path).split("train")


def test_missing_cifar10_without_network_names_the_remedies(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError) as caught:
        cifar10_images(tmp_path).prepare_data()
    for part in (str(tmp_path), cifar10._URL, "data=shapes"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_cifar10_trains_on_random_windows_of_a_border(tmp_path, cifar_files):
    pack(tmp_path / "cifar-10-binary.tar.gz", cifar_files)
    plain, bordered = cifar10_images(tmp_path), cifar10_images(tmp_path, margin=8)
    held = bordered.split("train").images
    assert np.array_equal(held[:, :, 4:36, 4:36], plain.split("train").images)
    assert held.sum(dtype=np.int64) == plain.split("train").images.sum(dtype=np.int64)
    assert bordered.batch("test", np.arange(3)).x.equal(plain.batch("test", np.arange(3)).x)
    assert cifar10_images(tmp_path, shape=(3, 40, 40)).split("val").images.shape == (7, 3, 40, 40)
    with pytest.raises(DataError, match=r"data.shape=\[1, 32, 32\]"):
        cifar10_images(tmp_path, shape=(1, 32, 32))


def write_celeba(root, ending):
    """Six images; the attributes of image i are whether i is odd, and whether it is 3."""
    comma = "," if ending == ".csv" else "  "
    names = [f"{i:06}.jpg" for i in range(1, 7)]
    for i, name in enumerate(names, 1):
        write(root / "img_align_celeba" / name, i * 30, (178, 218))
    split = [f"{name}{comma}{number}" for name, number in zip(names, [2, 0, 0, 1, 0, 1], strict=True)]
    values = [f"{name}{comma}{2 * (i % 2) - 1}{comma}{2 * (i == 3) - 1}" for i, name in enumerate(names, 1)]
    heads = {".txt": ([], ["6", "Odd Smiling "]), ".csv": (["image_id,partition"], ["image_id,Odd,Smiling"])}[ending]
    (root / f"list_eval_partition{ending}").write_text("\n".join(heads[0] + split) + "\n")
    (root / f"list_attr_celeba{ending}").write_text("\n".join(heads[1] + values) + "\n")


@pytest.mark.parametrize("ending", [".txt", ".csv"])
def test_celeba_has_its_published_splits_and_attributes(tmp_path, ending):
    write_celeba(tmp_path / "celeba", ending)
    images = files_source(CelebA, tmp_path / "celeba", tmp_path, window=148)
    images.prepare_data()
    reds = {name: np.rint(images.split(name).images[:, 0, 4, 4] / 30).tolist() for name in ("train", "val", "test")}
    assert reds == {"train": [2, 3, 5], "val": [4, 6], "test": [1]}
    attributes = images.attributes("train")
    assert attributes.names == images.facts()["attribute_names"] == ["Odd", "Smiling"]
    assert attributes.values.tolist() == [[0, 0], [1, 1], [1, 0]]


def test_celeba_may_lie_one_folder_deeper_as_kaggle_packs_it(tmp_path):
    write_celeba(tmp_path / "celeba", ".csv")
    images = tmp_path / "celeba/img_align_celeba"
    images.rename(tmp_path / "celeba/inner")
    images.mkdir()
    (tmp_path / "celeba/inner").rename(images / "img_align_celeba")
    source = files_source(CelebA, tmp_path / "celeba", tmp_path)
    assert len(source.split("train").images) == 3
    assert source.attributes("val").values.tolist() == [[0, 0], [0, 0]]


def test_celeba_leaves_out_the_attributes_of_unreadable_images(tmp_path):
    write_celeba(tmp_path / "celeba", ".txt")
    (tmp_path / "celeba/img_align_celeba/000003.jpg").write_bytes(b"no image")
    images = files_source(CelebA, tmp_path / "celeba", tmp_path, max_unreadable=0.5)
    with pytest.warns(UserWarning, match="unreadable"):
        images.prepare_data()
    assert images.attributes("train").values.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(("absent", "message"), [
    ("img_align_celeba/000004.jpg", "1 of 6 images missing, such as 000004"),
    ("list_eval_partition.txt", "there is no list_eval_partition"),
    ("list_attr_celeba.txt", "there is no list_attr_celeba"),
])
def test_an_incomplete_celeba_is_an_error_that_says_what_is_missing(tmp_path, absent, message):
    write_celeba(tmp_path / "celeba", ".txt")
    (tmp_path / "celeba" / absent).unlink()
    with pytest.raises(DataError, match=message) as caught:
        files_source(CelebA, tmp_path / "celeba", tmp_path).prepare_data()
    assert "mmlab.ie.cuhk.edu.hk" in str(caught.value)
    assert "root/img_align_celeba/000001.jpg" in str(caught.value)


ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.mark.parametrize(("name", "before", "after", "message"), [
    (ATTRIBUTES, "000006.jpg  -1  -1\n", "000006.jp", "line 8: it begins with '000006.jp'"),
    (ATTRIBUTES, "000006.jpg  -1  -1\n", "000006.jpg  -1", "line 8: 000006.jpg has 1 numbers instead of 2"),
    (ATTRIBUTES, "000006.jpg  -1  -1\n", "000006.jpg  -1  -", "line 8: 000006.jpg has '-' where -1 or 0 or 1"),
    (ATTRIBUTES, "000006.jpg  -1  -1\n", "", "line 1: 6 images should follow, and there are 5"),
    (ATTRIBUTES, "Odd Smiling", "Odd", "line 3: 000001.jpg has 2 numbers instead of 1"),
    (ATTRIBUTES, "6\nOdd Smiling \n", "", "its first lines name no attribute"),
    (ATTRIBUTES, "000006", "000009", "there is no line for 1 images, such as 000006.jpg"),
    (PARTITION, "000006.jpg  1\n", "", "there is no line for 1 images, such as 000006.jpg"),
    (PARTITION, "000006.jpg  1\n", "000006.jpg", "line 6: 000006.jpg has 0 numbers instead of 1"),
    (PARTITION, "000006.jpg  1\n", "000006.jpg 3", "line 6: 000006.jpg has '3' where 0 or 1 or 2"),
    (PARTITION, "000006", "000005", "line 6: 000005.jpg stands here a second time"),
    (PARTITION, ".jpg", ".gif", "it has no line for an image"),
])  # fmt: skip
def test_a_damaged_list_of_celeba_is_an_error_that_names_the_line(tmp_path, name, before, after, message):
    write_celeba(tmp_path / "celeba", ".txt")
    path = tmp_path / "celeba" / name
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(DataError) as caught:
        files_source(CelebA, tmp_path / "celeba", tmp_path).prepare_data()
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)
    assert "Put a whole copy" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [ATTRIBUTES, PARTITION])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00" * 99, b"\xff\xfe\x00", b"<html>\n<body>"])
def test_a_list_of_celeba_that_is_no_list_is_an_error_that_names_it(tmp_path, name, content):
    write_celeba(tmp_path / "celeba", ".txt")
    (tmp_path / "celeba" / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        files_source(CelebA, tmp_path / "celeba", tmp_path).prepare_data()
    assert name in str(caught.value)
    assert "Put a whole copy" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_celeba_without_an_image_of_some_split_is_an_error(tmp_path):
    write_celeba(tmp_path / "celeba", ".txt")
    path = tmp_path / "celeba" / PARTITION
    path.write_text(path.read_text().replace("  2", "  0"))
    with pytest.raises(DataError, match="no image of test"):
        files_source(CelebA, tmp_path / "celeba", tmp_path).prepare_data()


@pytest.mark.parametrize("path", ["{number:05}.png", "{folder:05}/{number:05}.png"])
def test_ffhq_is_split_by_number(tmp_path, path):
    for number in [0, 59_999, 60_000, 64_999, 65_000, 69_999, 31]:
        write(tmp_path / "ffhq" / path.format(number=number, folder=number // 1000 * 1000))
    images = files_source(FFHQ, tmp_path / "ffhq", tmp_path)
    counts = [len(images.split(name).images) for name in ("train", "val", "test")]
    assert counts == [3, 2, 2]


def test_a_part_of_ffhq_is_an_error(tmp_path):
    write(tmp_path / "ffhq" / "00000.png")
    with pytest.raises(DataError, match="1 of train, 0 of val, 0 of test") as caught:
        files_source(FFHQ, tmp_path / "ffhq", tmp_path).prepare_data()
    assert "download_ffhq.py" in str(caught.value)


def test_imagenet_has_classes_by_wordnet_id_and_its_validation_images_as_test(tmp_path):
    for split in ("train", "val"):
        for i, wordnet in enumerate(["n02", "n01"]):
            write(tmp_path / "in" / split / wordnet / "1.JPEG", i * 100)
    images = files_source(ImageNet, tmp_path / "in", tmp_path)
    assert images.facts()["class_names"] == ["n01", "n02"]
    assert images.split("val").labels.tolist() == images.split("test").labels.tolist() == [0, 1]
    assert images.split("train").images[:, 0, 0, 0].tolist() == [100, 0]


def imagenet_names(tmp_path, ids, tables):
    for split in ("train", "val"):
        for i, wordnet in enumerate(ids):
            write(tmp_path / "in" / split / wordnet / "1.JPEG", i * 10)
    for name, content in tables.items():
        (tmp_path / "in" / name).write_text(content)
    return files_source(ImageNet, tmp_path / "in", tmp_path).facts()["class_names"]


IDS = ["n02012849", "n01440764", "n03126707", "n01484850", "n09999999", "n03991062"]
SYNSETS = (
    "n01440764 tench, Tinca tinca\nn01484850 great white shark, white shark\nn02012849 crane\nn03126707 crane\n"
    "n03991062 potter's wheel\nn07777777 not in the folder\n"
)
TABLES = {
    "LOC_synset_mapping.txt": SYNSETS,
    "words.txt": re.sub("^(n[0-9]+) ", r"\1\t", SYNSETS, flags=re.MULTILINE),
    "train/words.txt": SYNSETS,
    "imagenet_class_index.json":
        '{"0": ["n01440764", "tench"], "1": ["n01484850", "great_white_shark"], "2": ["n02012849", "crane"], '
        '"3": ["n03126707", "crane"], "4": ["n03991062", "potter\'s_wheel"]}',
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_classes_of_imagenet_go_by_name_in_the_order_of_their_ids(tmp_path, table):
    assert imagenet_names(tmp_path, IDS, {table: TABLES[table]}) == [
        "tench", "great-white-shark", "crane-n02012849", "crane-n03126707", "potters-wheel", "n09999999",
    ]  # fmt: skip
    images = files_source(ImageNet, tmp_path / "in", tmp_path)
    assert images.split("train").images[:, 0, 0, 0].tolist() == [10, 30, 0, 20, 50, 40]
    assert images.split("train").labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("table", "content", "message"), [
    ("words.txt", "n01440764 tench\nn014", "line 2: 'n014' is no id"),
    ("words.txt", "n01440764 , Tinca", "line 1"),
    ("words.txt", "\udcff", "it cannot be read"),
    ("imagenet_class_index.json", '{"0": ["n01440764", "tench"]', "it cannot be read"),
    ("imagenet_class_index.json", "[1]", "it cannot be read"),
    ("imagenet_class_index.json", '{"0": [1, 2]}', "it cannot be read"),
    ("imagenet_class_index.json", '{"0": ["n01440764"]}', "line 1"),
])  # fmt: skip
def test_a_damaged_table_of_names_is_an_error_that_names_it(tmp_path, table, content, message):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / table).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        imagenet_names(tmp_path, IDS, {})
    assert str(caught.value).startswith(f"{tmp_path}/in/{table}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [["train/1.JPEG", "val/n01/1.JPEG"], ["train/n01/1.JPEG", "train/n02/1.JPEG"],
                                   ["train/n01/1.JPEG", "train/n02/1.JPEG", "val/n03/1.JPEG"]])
def test_another_layout_of_imagenet_is_an_error_with_the_right_one(tmp_path, names):
    for name in names:
        write(tmp_path / "in" / name)
    with pytest.raises(DataError, match=r"root/train/n01440764/n01440764_10026.JPEG"):
        files_source(ImageNet, tmp_path / "in", tmp_path).prepare_data()
