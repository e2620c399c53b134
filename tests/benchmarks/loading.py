"""How fast images and codes reach the model. Run as `python -m tests.benchmarks.loading`.

Each row is the best of some passes, which take turns where two rows are compared, so that other work on the machine
disturbs them alike. Images of 28 x 28 are counted when they are floats in [-1, 1]; those of 256 x 256 when they leave
the loader as bytes, because the device converts them.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vqgen.data.codes.codes import Codes
from vqgen.data.files.decode import decode
from vqgen.data.images import Images, Split
from vqgen.data.loading.loader import Loader
from vqgen.data.sources.folder import Folder
from vqgen.data.sources.idx import FashionMnist
from vqgen.data.sources.shapes import draw_factors, render
from vqgen.errors import DataError

CORES = len(os.sched_getaffinity(0))
BATCH = 128
NUM_JPEG = 2000


class ItemDataset(Dataset):
    """What is usual: one image an item, decoded or cut from an array, made a float tensor."""

    def __init__(self, item: Callable[[int], np.ndarray], n: int) -> None:
        self.item, self.n = item, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.item(i)).float() / 127.5 - 1, 0


class Random(Images):
    """Noise in place of Fashion-MNIST where that is not installed."""

    def load(self, split: str) -> Split:
        random = np.random.default_rng(0)
        return Split(random.integers(0, 256, (20_000, *self.shape)).astype(np.uint8), np.zeros(20_000, np.int64))


Batches = Callable[[], Iterable[int]]


def rates(*passes: Batches, repeats: int = 3) -> list[float]:
    """Images per second in the best of some passes over each iterable, which yields the number of images of a batch."""
    best = [0.0] * len(passes)
    for _ in range(repeats):
        for i, batches in enumerate(passes):
            start, total = time.perf_counter(), 0
            for size in batches():
                total += size
            best[i] = max(best[i], total / (time.perf_counter() - start))
    return best


def as_bytes(loader: Loader) -> Batches:
    """Batches as they leave the loader, which has started its workers and filled the page cache."""
    sum(1 for _ in loader)
    return lambda: (len(batch.pixels) for batch in loader)


def as_floats(images: Images) -> Batches:
    """Training batches converted as Lightning has it done."""
    loader = images.train_dataloader()
    return lambda: (len(images.on_after_batch_transfer(batch, 0).x) for batch in loader)


def show(name: str, value: float, unit: str = "images/s", note: str = "") -> None:
    print(f"  {name:<46}{value:>12,.0f} {unit:<10}{note}", flush=True)


def small_images() -> None:
    """Images of 28 x 28 held in memory against the per-item loader."""
    images: Images = FashionMnist("data/fashion_mnist", shape=(1, 28, 28), batch_size=BATCH, seed=0, num_workers=0)
    try:
        images.prepare_data()
    except DataError:
        images = Random((1, 28, 28), BATCH, 0, 0)
    print(f"{type(images).__name__}, 28 x 28, batches of {BATCH}")
    pixels = images.split("train").images
    items = DataLoader(ItemDataset(lambda i: pixels[i], len(pixels)), BATCH, shuffle=True, drop_last=True)
    ours, usual = rates(as_floats(images), lambda: (len(x) for x, _ in items))
    show("array, one indexing operation a batch (a)", ours, note=f"{ours / usual:.1f} times the per-item loader")
    show("per-item Dataset, default DataLoader", usual)


def write_jpegs(folder: Path) -> None:
    """Pictures with edges and noise, 256 x 256, quality 90."""
    random = np.random.default_rng(0)
    for start in range(0, NUM_JPEG, 100):
        clean = render(draw_factors(np.arange(start, start + 100), 0), 256, 256).transpose(0, 2, 3, 1)
        for i, x in enumerate(clean, start):
            noisy = x + random.normal(0, 12, (256, 256, 1))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05}.jpg", quality=90)


def decode_all(paths: list[Path]) -> int:
    """What a core does at best."""
    return sum(len(decode(path, (3, 256, 256))[:1]) for path in paths)


def large_images(folder: Path, cache: Path) -> None:
    """JPEG files of 256 x 256: kept as an array, decoded by workers, and by the per-item loader."""
    paths = sorted(folder.iterdir())

    def source(prepare_up_to: float, num_workers: int) -> Folder:
        images = Folder(
            root=str(folder),
            size=256,
            shape=(3, 256, 256),
            batch_size=32,
            seed=0,
            num_workers=num_workers,
            cache=str(cache),
            prepare_up_to=prepare_up_to,
            max_unreadable=0.0,
            flip=False,
            margin=0,
            window=None,
            val_fraction=0.01,
            test_fraction=0.01,
        )
        images.prepare_data()
        return images

    kilobytes = os.path.getsize(paths[0]) // 1000
    print(f"{NUM_JPEG} JPEG files, 256 x 256, {kilobytes} kB each, {CORES} cores, batches of 32")
    start = time.perf_counter()
    prepared = as_bytes(source(10.0, 0).train_dataloader())
    show("preparing, once", NUM_JPEG / (time.perf_counter() - start))
    decoded = as_bytes(source(0.0, CORES).train_dataloader())
    items = DataLoader(ItemDataset(lambda i: decode(paths[i], (3, 256, 256)), len(paths)), 32, drop_last=True)
    parts = [paths[i::CORES] for i in range(CORES)]
    with get_context("fork").Pool(CORES) as pool:
        a, b, alone = rates(prepared, decoded, lambda: pool.imap(decode_all, parts), repeats=5)
    (usual,) = rates(lambda: (len(x) for x, _ in items), repeats=2)
    show("prepared array, one indexing operation (a)", a)
    show(f"decoded by {CORES} workers (b)", b, note=f"{b / alone:.0%} of the decoder alone")
    show(f"the decoder alone, {CORES} processes", alone)
    show("per-item Dataset, default DataLoader", usual)


class Encoder(nn.Module):
    """The two strided convolutions and the nearest neighbour of a small VQ-VAE."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), nn.Conv2d(128, 16, 1)
        )
        self.codebook = nn.Parameter(torch.randn(512, 16))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Codes of 7 x 7."""
        z = self.net(x).permute(0, 2, 3, 1)
        distance = self.codebook.square().sum(1) - 2 * z @ self.codebook.T
        return [distance.argmin(-1)]


def codes(cache: Path) -> None:
    """Extraction against the encoder's own speed, and reading."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = Encoder().to(device)
    images = Random((1, 28, 28), BATCH, 0, 0)
    images.source = lambda: {}  # type: ignore[method-assign]
    data = Codes(images, encoder.encode, "0" * 16, [512], 0, str(cache), BATCH, 0)
    x = torch.randn(512, 1, 28, 28, device=device)

    @torch.no_grad()
    def forward() -> Iterable[int]:
        for _ in range(40):
            encoder.encode(x)[0].cpu()
            yield len(x)

    print(f"Codes of 7 x 7, K=512, on {device}")
    images.split("train")
    folder = data.store.folder("train")

    def extract() -> Iterable[int]:
        shutil.rmtree(folder, ignore_errors=True)
        data.store.extract("train", encoder.encode)
        yield len(images.split("train").images)

    ours, alone = rates(extract, forward)
    show("extraction into the store", ours, note=f"{ours / alone:.0%} of the encoder")
    show("the encoder alone", alone)
    loader = data.train_dataloader()
    (read,) = rates(lambda: (len(data.on_after_batch_transfer(batch, 0).codes[0]) for batch in loader))
    show(f"reading batches of {BATCH} from the store", read / BATCH, "batches/s", f"{read:,.0f} images/s")


def main() -> None:
    """All of it; a minute on two cores."""
    small_images()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "jpeg").mkdir()
        write_jpegs(folder / "jpeg")
        large_images(folder / "jpeg", folder / "cache")
        codes(folder / "codes")


if __name__ == "__main__":
    main()
