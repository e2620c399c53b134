"""Sources in the layout of their publishers, on small copies that the tests make."""

import io
import os
import pickle
import re
import tarfile
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from vqgen.data.sources import cifar10, small_images
from vqgen.data.sources.celeba import CelebA
from vqgen.data.sources.cifar10 import CIFAR10
from vqgen.data.sources.ffhq import FFHQ
from vqgen.data.sources.folder import Folder
from vqgen.data.sources.imagenet import ImageNet
from vqgen.errors import DataError


def files_source(kind, root, tmp_path, **changes):
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
        "window": None,
    } | changes
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
    monkeypatch.setattr(small_images, "NUM_VAL", 7)
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


def pickled(rows, protocol=2):
    labels = [int(value) for value in rows[:, 0]]
    return pickle.dumps({b"data": rows[:, 1:].copy(), b"labels": labels, b"batch_label": b"x"}, protocol)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("numpy_module", [b"numpy._core", b"numpy.core"])
@pytest.mark.parametrize("protocol", [0, 2])
def test_cifar10s_python_version_holds_the_same_images(tmp_path, cifar_files, packed, numpy_module, protocol):
    folder = tmp_path / "python/cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, rows in cifar_files.items():
        content = pickled(rows, protocol).replace(b"numpy._core.multiarray", numpy_module + b".multiarray")
        (folder / name.removesuffix(".bin")).write_bytes(content)
    if packed:
        with tarfile.open(tmp_path / "python/cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
        for path in folder.iterdir():
            path.unlink()
    pack(tmp_path / "binary/cifar-10-binary.tar.gz", cifar_files)
    ours, other = cifar10_images(tmp_path / "python"), cifar10_images(tmp_path / "binary")
    for split in ("train", "val", "test"):
        assert np.array_equal(ours.split(split).images, other.split(split).images)
        assert np.array_equal(ours.split(split).labels, other.split(split).labels)


class Runs:
    """What runs a command when it is unpickled."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: Runs(os.system, f"touch {file}"),
        lambda file: Runs(eval, f"open({str(file)!r}, 'w')"),
        lambda file: Runs(getattr, np.ndarray, "tofile"),
        lambda file: Runs(np.load, str(file)),
        lambda file: np.array([Runs(os.system, f"touch {file}")], dtype=object),
        lambda file: np.array([{}], dtype=object),
    ],
)
def test_a_pickle_with_anything_but_arrays_in_it_is_refused_and_nothing_is_run(tmp_path, cifar_files, harm):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, rows in cifar_files.items():
        (folder / name.removesuffix(".bin")).write_bytes(pickled(rows))
    (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": harm(tmp_path / "was_here"), b"labels": []}, 2))
    with pytest.raises(DataError, match=r"data_batch_2 in .* (cannot be read|is not whole)") as caught:
        cifar10_images(tmp_path).split("train")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02.",
        b"no pickle",
        pickle.dumps({}, 2),
        pickle.dumps([1], 2),
        pickled(cifar_rows(3, 0))[:500],
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [3, 10]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [3, 1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [3]}, 2),
    ],
)
def test_a_damaged_pickle_of_cifar10_is_an_error_that_names_it(tmp_path, cifar_files, content):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"test_batch in .* Put a whole copy there") as caught:
        cifar10_images(tmp_path).split("test")
    assert "\n" not in str(caught.value)


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


@pytest.mark.parametrize("mark", [",", ";", '","'])
def test_celebas_tables_may_be_written_by_any_spreadsheet(tmp_path, mark):
    write_celeba(tmp_path / "celeba", ".csv")
    for path in (tmp_path / "celeba").glob("*.csv"):
        lines = [line.replace(",", mark) for line in path.read_text().splitlines()]
        path.write_text("\r\n".join(f'"{line}"' if '"' in mark else line for line in lines))
    assert files_source(CelebA, tmp_path / "celeba", tmp_path).attributes("test").names == ["Odd", "Smiling"]


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


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("img_align_celeba/000004.jpg", "1 of 6 images missing, such as 000004"),
        ("list_eval_partition.txt", "there is no list_eval_partition"),
        ("list_attr_celeba.txt", "there is no list_attr_celeba"),
    ],
)
def test_an_incomplete_celeba_is_an_error_that_says_what_is_missing(tmp_path, absent, message):
    write_celeba(tmp_path / "celeba", ".txt")
    (tmp_path / "celeba" / absent).unlink()
    with pytest.raises(DataError, match=message) as caught:
        files_source(CelebA, tmp_path / "celeba", tmp_path).prepare_data()
    assert "mmlab.ie.cuhk.edu.hk" in str(caught.value)
    assert "root/img_align_celeba/000001.jpg" in str(caught.value)


ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
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
        (PARTITION, "000006", "000005", "line 6: 000005.jpg occurs a second time"),
        (PARTITION, ".jpg", ".gif", "it has no line for an image"),
    ],
)
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


@pytest.mark.parametrize(
    "places",
    [
        {"images": "Img/img_align_celeba", "list_attr_celeba.txt": "Anno", "list_eval_partition.txt": "Eval"},
        {"images": "C/Img/img_align_celeba", "list_attr_celeba.txt": "C/Anno", "list_eval_partition.txt": "C/Eval"},
        {"images": "Img/img_align_celeba_png", "list_attr_celeba.txt": "Anno", "list_eval_partition.txt": "Eval"},
        {"images": "img_align_celeba", "list_attr_celeba.txt": "", "list_eval_partition.txt": ""},
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_celeba_is_read_from_its_authors_drive_and_as_png(tmp_path, places, suffix):
    root = tmp_path / "celeba"
    write_celeba(tmp_path / "flat", ".txt")
    for name, place in places.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        if name == "images":
            for i in range(1, 7):
                write(root / place / f"{i:06}{suffix}", i * 30, (178, 218))
        else:
            (root / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / "flat" / name).rename(root / place / name)
    images = files_source(CelebA, root, tmp_path, window=148)
    reds = {name: np.rint(images.split(name).images[:, 0, 4, 4] / 30).tolist() for name in ("train", "val", "test")}
    assert reds == {"train": [2, 3, 5], "val": [4, 6], "test": [1]}
    assert images.attributes("train").values.tolist() == [[0, 0], [1, 1], [1, 0]]
    assert "3 train, 2 val, 1 test" in images.reading().line()


def test_celeba_with_png_beside_jpeg_is_read_once_and_an_archive_that_is_not_unpacked_is_told(tmp_path):
    write_celeba(tmp_path / "celeba", ".txt")
    for i in range(1, 7):
        write(tmp_path / "celeba/img_align_celeba_png" / f"{i:06}.png", 255)
    images = files_source(CelebA, tmp_path / "celeba", tmp_path)
    assert images.split("train").images[:, 0, 4, 4].max() < 200
    assert images.reading().left_out["a second time"] == 6
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/img_align_celeba.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"there is no image that can be read \(1 \.zip"):
        files_source(CelebA, tmp_path / "packed", tmp_path).prepare_data()


def test_ffhqs_download_folder_holds_each_face_several_times_and_is_an_error(tmp_path):
    for folder in ("images1024x1024", "thumbnails128x128", "in-the-wild-images"):
        for number in (0, 60_000, 65_000):
            write(tmp_path / "ffhq" / folder / f"{number // 1000 * 1000:05}" / f"{number:05}.png")
    message = r"the face 00000 is there 3 times, as images1024x1024/.*data\.root=.*/images1024x1024, or"
    with pytest.raises(DataError, match=message) as caught:
        files_source(FFHQ, tmp_path / "ffhq", tmp_path).prepare_data()
    assert "\n" not in str(caught.value)
    one = files_source(FFHQ, tmp_path / "ffhq/thumbnails128x128", tmp_path)
    assert one.reading().counts == {"train": 1, "val": 1, "test": 1}


def test_a_face_twice_in_one_folder_is_an_error_that_names_no_other_root(tmp_path):
    for name in ("00001.png", "1.png", "60000.png", "65000.png"):
        write(tmp_path / "ffhq" / name)
    with pytest.raises(DataError, match=r"face 00001 is there 2 times, as 00001.png, 1.png: keep one of them there"):
        files_source(FFHQ, tmp_path / "ffhq", tmp_path).prepare_data()


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
    "imagenet_class_index.json": '{"0": ["n01440764", "tench"], "1": ["n01484850", "great_white_shark"], '
    '"2": ["n02012849", "crane"], '
    '"3": ["n03126707", "crane"], "4": ["n03991062", "potter\'s_wheel"]}',
}


@pytest.mark.parametrize("table", TABLES)
def test_classes_of_imagenet_go_by_name_in_the_order_of_their_ids(tmp_path, table):
    assert imagenet_names(tmp_path, IDS, {table: TABLES[table]}) == [
        "tench",
        "great-white-shark",
        "crane-n02012849",
        "crane-n03126707",
        "potters-wheel",
        "n09999999",
    ]
    images = files_source(ImageNet, tmp_path / "in", tmp_path)
    assert images.split("train").images[:, 0, 0, 0].tolist() == [10, 30, 0, 20, 50, 40]
    assert images.split("train").labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("words.txt", "n01440764 tench\nn014", "line 2: 'n014' is no id"),
        ("words.txt", "n01440764 , Tinca", "line 1"),
        ("words.txt", "\udcff", "it cannot be read"),
        ("imagenet_class_index.json", '{"0": ["n01440764", "tench"]', "it cannot be read"),
        ("imagenet_class_index.json", "[1]", "it cannot be read"),
        ("imagenet_class_index.json", '{"0": [1, 2]}', "it cannot be read"),
        ("imagenet_class_index.json", '{"0": ["n01440764"]}', "line 1"),
    ],
)
def test_a_damaged_table_of_names_is_an_error_that_names_it(tmp_path, table, content, message):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / table).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        imagenet_names(tmp_path, IDS, {})
    assert str(caught.value).startswith(f"{tmp_path}/in/{table}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def write_imagenet(root, base="", ids=("n02", "n01"), flat=True):
    """Two training images a class; val has three images, of n01, n02 and n03."""
    for wordnet in ids:
        for i in range(2):
            write(root / base / "train" / wordnet / f"{wordnet}_{i}.JPEG", int(wordnet[1:]) * 10)
    for i, wordnet in enumerate(("n01", "n02", "n03")):
        name = f"ILSVRC2012_val_{i:08}.JPEG"
        write(root / base / "val" / ("" if flat else wordnet) / name, int(wordnet[1:]) * 10 + 5)
    rows = [f"ILSVRC2012_val_{i:08},n0{i + 1} 1 2 3 4 n0{i + 1} 5 6 7 8\n" for i in range(3)]
    return "ImageId,PredictionString\n" + "".join(rows)


@pytest.mark.parametrize("root", ["", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC"])
def test_imagenet_as_kaggle_packs_it_is_read_from_any_of_its_folders(tmp_path, root):
    table = write_imagenet(tmp_path / "in", "ILSVRC/Data/CLS-LOC")
    write(tmp_path / "in/ILSVRC/Data/CLS-LOC/test/1.JPEG")
    (tmp_path / "in/LOC_val_solution.csv").write_text(table)
    (tmp_path / "in/LOC_synset_mapping.txt").write_text("n01 tench\nn02 goldfish\nn03 shark\n")
    images = files_source(ImageNet, tmp_path / "in" / root, tmp_path)
    assert images.facts()["class_names"] == ["tench", "goldfish"]
    for split in ("val", "test"):
        assert images.split(split).labels.tolist() == [0, 1]
        assert (images.split(split).images[:, 0, 0, 0] // 10).tolist() == [1, 2]
    reading = images.reading()
    assert reading.place == str(tmp_path / "in/ILSVRC/Data/CLS-LOC")
    assert reading.left_out["of val, in no class of train"] == 1
    assert reading.left_out["in other folders (test has no labels)"] == 1


@pytest.mark.parametrize("flat", [True, False])
def test_a_subset_of_the_classes_takes_only_its_own_of_the_whole_validation_set(tmp_path, flat):
    table = write_imagenet(tmp_path / "in", ids=("n03", "n01"), flat=flat)
    (tmp_path / "in/val/LOC_val_solution.csv").write_text(table)
    images = files_source(ImageNet, tmp_path / "in", tmp_path)
    assert images.split("val").labels.tolist() == [0, 1]
    assert (images.split("val").images[:, 0, 0, 0] // 10).tolist() == [1, 3]
    assert "1 of val, in no class of train" in images.reading().line()


def test_a_val_of_which_some_images_lie_in_class_folders_takes_the_others_by_its_table(tmp_path):
    table = write_imagenet(tmp_path / "in")
    first = tmp_path / "in/val/ILSVRC2012_val_00000000.JPEG"
    (tmp_path / "in/val/n01").mkdir()
    first.rename(tmp_path / "in/val/n01" / first.name)
    with pytest.raises(DataError, match=r"val_00000001.JPEG lies in no class folder, and nowhere is a table"):
        files_source(ImageNet, tmp_path / "in", tmp_path).prepare_data()
    quoted = "".join('"{}","{}"\n'.format(*line.split(",")) for line in table.splitlines())
    (tmp_path / "in/LOC_val_solution.csv").write_text(quoted)
    images = files_source(ImageNet, tmp_path / "in", tmp_path)
    assert images.split("val").labels.tolist() == [0, 1]
    assert (images.split("val").images[:, 0, 0, 0] // 10).tolist() == [1, 2]


def test_a_flat_val_without_its_table_is_an_error_that_names_the_table(tmp_path):
    write_imagenet(tmp_path / "in")
    with pytest.raises(DataError, match=r"nowhere is a table of its labels, LOC_val_solution\.csv"):
        files_source(ImageNet, tmp_path / "in", tmp_path).prepare_data()
    (tmp_path / "in/LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_val_00000001\n")
    with pytest.raises(DataError, match=r"LOC_val_solution\.csv, line 2: 'ILSVRC2012_val_00000001' is no image with"):
        files_source(ImageNet, tmp_path / "in", tmp_path).prepare_data()


@pytest.mark.parametrize("kind", [ImageNet, Folder])
def test_tiny_imagenet_is_read_as_it_is_packed(tmp_path, kind):
    root = tmp_path / "tiny-imagenet-200"
    for wordnet, value in (("n01", 10), ("n02", 20)):
        for i in range(3):
            write(root / "train" / wordnet / "images" / f"{wordnet}_{i}.JPEG", value)
        (root / "train" / wordnet / f"{wordnet}_boxes.txt").write_text("n01_0.JPEG\t0\t0\t62\t62\n")
    for i in range(4):
        write(root / "val/images" / f"val_{i}.JPEG", 15 + 10 * (i % 2))
        write(root / "test/images" / f"test_{i}.JPEG", 99)
    lines = [f"val_{i}.JPEG\tn0{i % 2 + 1}\t0\t32\t44\t62\n" for i in range(4)]
    (root / "val/val_annotations.txt").write_text("".join(lines))
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tbullfrog\n")
    extra = {"val_fraction": 0.1, "test_fraction": 0.1} if kind is Folder else {}
    images = files_source(kind, root, tmp_path, **extra)
    assert images.facts()["class_names"] == (["n01", "n02"] if kind is Folder else ["goldfish", "bullfrog"])
    assert images.split("train").labels.tolist() == [0] * 3 + [1] * 3
    for split in ("val", "test"):
        assert images.split(split).labels.tolist() == [0, 1, 0, 1]
        assert (images.split(split).images[:, 0, 0, 0] // 10).tolist() == [1, 2, 1, 2]
    assert "left out: " in images.reading().line()
    assert "4 of test (no class is known)" in images.reading().line() or kind is ImageNet


@pytest.mark.parametrize(
    "names",
    [
        ["train/1.JPEG", "val/n01/1.JPEG"],
        ["train/n01/1.JPEG", "train/n02/1.JPEG"],
        ["train/n01/1.JPEG", "train/n02/1.JPEG", "val/n03/1.JPEG"],
    ],
)
def test_another_layout_of_imagenet_is_an_error_with_the_right_one(tmp_path, names):
    for name in names:
        write(tmp_path / "in" / name)
    with pytest.raises(DataError, match=r"root/train/n01440764/n01440764_10026.JPEG"):
        files_source(ImageNet, tmp_path / "in", tmp_path).prepare_data()
