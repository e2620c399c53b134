"""The same JPEG files by data=folder, data=shards, webdataset and litdata.

    python -m tests.benchmarks.loading_peers

Files of 256 x 256 are decoded by as many workers as there are cores, in batches of 32 that leave the loader as bytes.
All take turns, five passes each, and the best counts. litdata is installed by hand: it wants torchvision, and is read
here without it (pip install --no-deps litdata obstore boto3 botocore s3transfer jmespath).
"""

import io
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from litdata import StreamingDataLoader, StreamingDataset, optimize
from PIL import Image
from torch.utils.data import DataLoader, default_collate
from webdataset import ShardWriter, WebDataset

from tests.benchmarks.loading import CORES, NUM_JPEG, Batches, as_bytes, rates, show, write_jpegs
from vqgen.data.files.files import Files
from vqgen.data.sources.folder import Folder
from vqgen.data.sources.shards import Shards

BATCH = 32
SHARD = 500  # images


def source(kind: type[Files], root: Path, cache: Path, prepare_up_to: float = 0.0) -> Files:
    """One of ours, which decodes at every pass, or once."""
    options: dict[str, Any] = {"size": 256, "shape": (3, 256, 256), "batch_size": BATCH, "seed": 0}
    options |= {"num_workers": CORES, "prepare_up_to": prepare_up_to, "max_unreadable": 0.0, "flip": False, "margin": 0}
    images = kind(root=str(root), cache=str(cache), window=None, val_fraction=0.01, test_fraction=0.01, **options)
    images.prepare_data()
    return images


def pixels(contents: bytes) -> np.ndarray:
    """What both packages' users decode by."""
    return np.array(Image.open(io.BytesIO(contents)).convert("RGB")).transpose(2, 0, 1)


def contents_of(path: str) -> dict[str, bytes]:
    """An item as litdata keeps it."""
    return {"image": Path(path).read_bytes()}


class Decoded(StreamingDataset):
    """litdata's items as pixels."""

    def __getitem__(self, index: Any) -> np.ndarray:
        return pixels(super().__getitem__(index)["image"])


def passes(loader: Iterable[Any]) -> Batches:
    """The sizes of its batches, its workers being there already."""
    sum(1 for _ in loader)
    return lambda: (len(batch) for batch in loader)


def of_webdataset(paths: list[Path], folder: Path) -> Batches:
    """Tar files as its ShardWriter writes them, shuffled within a buffer as it advises."""
    folder.mkdir()
    with ShardWriter(f"{folder}/train-%06d.tar", maxcount=SHARD, verbose=0) as writer:
        for path in paths:
            writer.write({"__key__": path.stem, "jpg": path.read_bytes()})
    tars = [str(tar) for tar in sorted(folder.iterdir())]
    images = WebDataset(tars, shardshuffle=len(tars)).shuffle(1000).map(lambda item: pixels(item["jpg"]))
    images = images.batched(BATCH, collation_fn=default_collate)
    return passes(DataLoader(images, batch_size=None, num_workers=CORES, persistent_workers=True))


def of_litdata(paths: list[Path], folder: Path) -> Batches:
    """Chunks as its `optimize` writes them, shuffled."""
    optimize(fn=contents_of, inputs=[str(path) for path in paths], output_dir=str(folder), chunk_bytes="16MB")
    images = Decoded(str(folder), shuffle=True, drop_last=True)
    return passes(StreamingDataLoader(images, batch_size=BATCH, num_workers=CORES, persistent_workers=True))


def main() -> None:
    """Write the files in all forms, and read them in turns."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "jpeg").mkdir()
        write_jpegs(folder / "jpeg")
        paths = sorted((folder / "jpeg").iterdir())
        print(f"{NUM_JPEG} JPEG files, 256 x 256, {CORES} workers, batches of {BATCH}")
        make = {
            "webdataset": partial(of_webdataset, paths, folder / "tars"),
            "litdata": partial(of_litdata, paths, folder / "chunks"),
            "data=folder": lambda: as_bytes(source(Folder, folder / "jpeg", folder / "cache").train_dataloader()),
            "data=shards": lambda: as_bytes(source(Shards, folder / "tars", folder / "cache").train_dataloader()),
        }
        make["data=folder, prepared"] = lambda: as_bytes(
            source(Folder, folder / "jpeg", folder / "cache", 20.0).train_dataloader()
        )
        found = dict(zip(make, rates(*(each() for each in make.values()), repeats=5), strict=True))
    for kind, rate in found.items():
        others = ", ".join(f"{rate / found[peer]:.2f} of {peer}" for peer in ("webdataset", "litdata") if peer != kind)
        show(kind, rate, note=others)


if __name__ == "__main__":
    main()
