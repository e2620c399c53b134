import gzip
import struct
import urllib.request
from hashlib import md5
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from vqgen.data.sources import small_images
from vqgen.data.sources.idx import FashionMnist, Mnist, read_idx
from vqgen.errors import DataError

INSTALLED = Path(FashionMnist.also_in[0])
NAMES = [name.removesuffix(".gz") for name in Mnist.md5]


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_four(folder, n=20, zipped=True):
    """A small set in the layout of the published one."""
    random = np.random.default_rng(0)
    for name in NAMES:
        array = random.integers(0, 256, (n, 28, 28)) if "images" in name else np.arange(n) % 10
        content = idx_bytes(array.astype(np.uint8))
        path = folder / (name + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content) if zipped else content)


def mnist(root, shape=(1, 28, 28), source=Mnist, seed=0):
    return source(root=str(root), shape=shape, batch_size=4, seed=seed, num_workers=0)


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture(autouse=True)
def few_for_validation(request, monkeypatch):
    if "real" not in request.node.name:
        monkeypatch.setattr(small_images, "NUM_VAL", 5)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_are_read_zipped_or_not(tmp_path, zipped):
    write_four(tmp_path, zipped=zipped)
    images = mnist(tmp_path)
    images.prepare_data()
    counts = {name: len(images.split(name).images) for name in ("train", "val", "test")}
    assert counts == {"train": 15, "val": 5, "test": 20}
    labels = np.concatenate([images.split("train").labels, images.split("val").labels])
    assert sorted(labels) == sorted(np.arange(20) % 10)


def test_a_larger_shape_gets_a_border_of_zeros_on_all_sides(tmp_path):
    write_four(tmp_path)
    small, large = (mnist(tmp_path, shape).split("test").images for shape in [(1, 28, 28), (1, 32, 32)])
    assert np.array_equal(large[:, :, 2:30, 2:30], small)
    assert large.sum() == small.sum()


@pytest.mark.parametrize("shape", [(1, 27, 28), (3, 28, 28)])
def test_a_smaller_shape_and_colour_are_errors(tmp_path, shape):
    with pytest.raises(DataError, match=r"the images are \[1, 28, 28\]"):
        mnist(tmp_path, shape)


def test_the_split_does_not_depend_on_the_seed(tmp_path):
    write_four(tmp_path)
    first, second = (mnist(tmp_path, seed=seed) for seed in (0, 1))
    assert np.array_equal(first.split("val").images, second.split("val").images)
    assert first.key == second.key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"<html>", "not an IDX file"),
        (bytes([0, 0, 8, 255]) + bytes(4 * 255), "not an IDX file"),
        (idx_bytes(np.zeros((3, 2), np.uint8))[:-1], "not whole"),
        (idx_bytes(np.zeros((3, 2), np.uint8))[:7], "not whole"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, content, message, zipped):
    path = tmp_path / ("a-ubyte.gz" if zipped else "a-ubyte")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=f"{path.name}.*{message}"):
        read_idx(path)


def test_a_truncated_gzip_file_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "b-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)))[:-20])
    with pytest.raises(DataError, match=r"b-ubyte.gz cannot be read"):
        read_idx(path)


def test_a_label_without_a_class_is_an_error(tmp_path):
    write_four(tmp_path, zipped=False)
    (tmp_path / NAMES[1]).write_bytes(idx_bytes(np.arange(20, dtype=np.uint8)))
    with pytest.raises(DataError, match=f"{NAMES[1]} holds the label 19, and there are 10"):
        mnist(tmp_path).split("train")


def test_missing_files_without_network_name_the_three_remedies(tmp_path, offline):
    with pytest.raises(DataError) as caught:
        mnist(tmp_path).prepare_data()
    for remedy in (str(tmp_path), Mnist.address, "data=shapes"):
        assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Site:
    """Serves the same bytes for every address, and may break off."""

    def __init__(self, content, breaks=False):
        self.content, self.breaks, self.served = content, breaks, []

    def __call__(self, url, timeout):
        self.served.append(url)
        return Answer(self.content, self.breaks)


class Answer(BytesIO):
    def __init__(self, content, breaks):
        super().__init__(content)
        self.headers, self.breaks = {"Content-Length": str(len(content))}, breaks

    def read(self, size=-1):
        if self.breaks and self.tell() > 0:
            raise ConnectionResetError("broken off")
        return super().read(1000)


def test_missing_files_are_downloaded_once_and_checked(tmp_path, monkeypatch):
    content = gzip.compress(idx_bytes(np.zeros((7, 28, 28), np.uint8)))
    site = Site(content)
    monkeypatch.setattr(urllib.request, "urlopen", site)
    monkeypatch.setattr(Mnist, "md5", dict.fromkeys(Mnist.md5, md5(content).hexdigest()))
    mnist(tmp_path).prepare_data()
    mnist(tmp_path).prepare_data()
    assert site.served == [f"{Mnist.address}/{name}.gz" for name in NAMES]
    assert (tmp_path / f"{NAMES[0]}.gz").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(("breaks", "message"), [(True, "broken off"), (False, "checksum")])
def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch, breaks, message):
    monkeypatch.setattr(urllib.request, "urlopen", Site(b"x" * 5000, breaks))
    with pytest.raises(DataError, match=message):
        mnist(tmp_path / "data/mnist").prepare_data()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=message):
        mnist(tmp_path / "data/mnist").prepare_data()
    assert list(tmp_path.rglob("*")) == [tmp_path / "data"]


def test_a_download_to_a_full_disk_names_the_folder_and_the_size(tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", Site(b"x" * 5000))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match=r"data/mnist needs 5.00kB, and its disk has 10.0B left.*data.root"):
        mnist(tmp_path / "data/mnist").prepare_data()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_found_where_debian_puts_it(tmp_path, offline):
    images = mnist(tmp_path / "none", source=FashionMnist)
    images.prepare_data()
    counts = [len(images.split(name).images) for name in ("train", "val", "test")]
    assert counts == [55_000, 5_000, 10_000]
    assert np.bincount(images.split("test").labels).tolist() == [1000] * 10
    assert images.split("val").labels[:10].tolist() == [5, 5, 4, 7, 0, 3, 9, 8, 5, 9]
    assert images.facts()["variance"] == pytest.approx(4 * 0.3530**2, rel=1e-3)
