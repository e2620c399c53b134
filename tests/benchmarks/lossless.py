"""Files of a prior on pixels (model=pixels) beside those of PNG, WebP and JPEG XL, all of them read back.

    python -m tests.benchmarks.lossless RUN [RUN ...] [--images 10000] [--processes 2] [--out FOLDER]

RUN is the prior's run, of colour those of all three channels. The test images are written as a file each and as an
archive of all; the codecs write the same pixels file by file, and as one mosaic. Every file is decoded and compared
with the pixels byte for byte, but of the prior's own files of an image each only the first --check. The size of the
weights, which a reader must have, stands in the last line. JPEG XL is `cjxl -d 0 -e 9` (Debian: libjxl-tools), WebP
`cwebp -lossless -z 9` (webp); one that is not installed is left out.
"""

import argparse
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy import ndarray
from PIL import Image

from vqgen import open_trained
from vqgen.batch import to_bytes
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import at_a_time, blocks_of, decompressed, nats_below, packed
from vqgen.tasks.header import SUFFIX


class Coded(NamedTuple):
    """What some images came to: bytes of their own files and of their part of the archive, nats, and seconds."""

    each: int
    together: int
    nats: float
    writing: float
    reading: float


def pixels_of(run: TrainedRun, numbers: range) -> ndarray:
    """Test images as bytes, height by width by channels."""
    return to_bytes(run.batch(numbers).x).permute(0, 2, 3, 1).numpy()


def code(paths: list[str], folder: Path, check: int, numbers: range) -> Coded:
    """Write some images, a file each and together, and read them again.

    Raises:
        AssertionError: an image that comes back is another.
    """
    torch.set_num_threads(1)
    run = open_trained(paths if len(paths) > 1 else paths[0])
    x = run.batch(numbers).x
    codes, labels = run.coder.encode(x), [None] * len(numbers)
    start = time.perf_counter()
    nats = nats_below(run, codes, labels)
    each, (together,) = (packed(run, codes, labels, nats, together=whole) for whole in (False, True))
    writing = time.perf_counter() - start
    archive = folder / f"archive_{numbers.start:06}{SUFFIX}"
    archive.write_bytes(together.contents)
    files = [folder / f"image_{i:06}{SUFFIX}" for i in numbers]
    for file, one in zip(files, each, strict=True):
        file.write_bytes(one.contents)
    start = time.perf_counter()
    images = decompressed(run, blocks_of(run, {archive.name: archive.read_bytes()}))
    reading = time.perf_counter() - start
    pixels = to_bytes(x)
    few = [file for i, file in zip(numbers, files, strict=True) if i < check]
    alone = decompressed(run, blocks_of(run, {file.name: file.read_bytes() for file in few})) if few else []
    for i, image in enumerate([*images, *alone]):
        back = to_bytes(run.autoencoder.decode(image.codes))[0]
        assert torch.equal(back, pixels[i % len(numbers)]), f"image {numbers[i % len(numbers)]} came back as another"
    return Coded(sum(file.stat().st_size for file in files), archive.stat().st_size, together.nll, writing, reading)


def png(pixels: ndarray, file: Path) -> Path:
    """Pixels as a PNG of the smallest size that Pillow finds."""
    path = file.with_suffix(".png")
    image_of(pixels).save(path, optimize=True)
    return path


def image_of(pixels: ndarray) -> Image.Image:
    """Pixels of one channel or three."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def webp(pixels: ndarray, file: Path) -> Path:
    """The same as WebP, lossless."""
    return _converted(png(pixels, file), ".webp", ["cwebp", "-quiet", "-lossless", "-z", "9"], ["-o"])


def jpeg_xl(pixels: ndarray, file: Path) -> Path:
    """The same as JPEG XL, lossless."""
    return _converted(png(pixels, file), ".jxl", ["cjxl", "--quiet", "-d", "0", "-e", "9"], [])


def _converted(source: Path, suffix: str, before: list[str], between: list[str]) -> Path:
    path = source.with_suffix(suffix)
    subprocess.run([*before, str(source), *between, str(path)], check=True, capture_output=True)
    return path


def pixels_in(file: Path) -> ndarray:
    """Pixels of a file of any of these formats, height by width by channels."""
    if file.suffix == ".jxl":
        subprocess.run(["djxl", "--quiet", str(file), str(file) + ".png"], check=True, capture_output=True)
        file = Path(str(file) + ".png")
    return np.atleast_3d(np.asarray(Image.open(file)))


CODECS: dict[str, tuple[str, Callable[[ndarray, Path], Path]]] = {
    "PNG": ("", png),
    "WebP": ("cwebp", webp),
    "JPEG XL": ("cjxl", jpeg_xl),
}


def codec_bytes(name: str, folder: Path, images: Sequence[ndarray], numbers: range) -> int:
    """Bytes of a codec's files of some images, which are read again.

    Raises:
        AssertionError: an image that comes back is another.
    """
    total = 0
    for i in numbers:
        file = CODECS[name][1](images[i], folder / f"image_{i:06}")
        total += file.stat().st_size
        back = pixels_in(file)[:, :, : images[i].shape[2]]  # WebP has three channels of every image
        assert np.array_equal(back, images[i]), f"{file} came back as another"
    return total


def mosaic(images: ndarray) -> ndarray:
    """All images in rows of about as many as there are rows, black where there is none."""
    side = math.ceil(len(images) ** 0.5)
    rows = math.ceil(len(images) / side)
    filled = np.concatenate([images, np.zeros((rows * side - len(images), *images.shape[1:]), images.dtype)])
    _, height, width, channels = images.shape
    grid = filled.reshape(rows, side, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, side * width, channels)


def parts(total: int, size: int) -> Iterator[range]:
    """The numbers up to a total, so many at a time."""
    for start in range(0, total, size):
        yield range(start, min(start + size, total))


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="of the prior, or of all levels, top first")
    parser.add_argument("--images", type=int, default=10_000, help="test images, at most as many as there are")
    parser.add_argument("--check", type=int, default=1000, help="own files of an image each that are read back")
    parser.add_argument("--processes", type=int, default=2, help="that code side by side, each of one thread")
    parser.add_argument("--out", type=Path, help="keep the files in this folder")
    options = parser.parse_args(words)
    run = open_trained(options.runs if len(options.runs) > 1 else options.runs[0])
    count = min(options.images, len(run.images().split("test").images))
    images = pixels_of(run, range(count))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report(options, run, images, folder)


def report(options: argparse.Namespace, run: TrainedRun, images: ndarray, folder: Path) -> None:
    """Write all files below a folder, and print what they came to."""

    def row(name: str, files: int, size: int, note: str = "") -> None:
        print(f"| {name} | {files:,} | {size:,} | {8 * size / images.size:.3f} | {note} |", flush=True)

    print("| codec | files | bytes | bits/dim | |\n|---|---|---|---|---|")
    row("pixels", len(images), images.size)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for name, (program, write) in CODECS.items():
            if program and not shutil.which(program):
                print(f"({name} is left out: {program} is not installed)")
                continue
            (below := folder / name.replace(" ", "_")).mkdir(exist_ok=True)
            sizes = pool.map(partial(codec_bytes, name, below, images), parts(len(images), 100))
            row(f"{name}, file by file", len(images), sum(sizes))
            file = write(whole := mosaic(images), below / "mosaic")
            assert np.array_equal(pixels_in(file)[:, :, : images.shape[3]], whole)
            row(f"{name}, one mosaic", 1, file.stat().st_size)
        start = time.perf_counter()
        work = partial(code, options.runs, folder, options.check)
        coded = [*pool.map(work, parts(len(images), at_a_time(run)))]
        seconds = time.perf_counter() - start
    nll = sum(part.nats for part in coded) / math.log(2) / images.size
    row("prior, file by file", len(images), sum(part.each for part in coded), f"negative log-likelihood {nll:.3f}")
    row("prior, archive", 1, sum(part.together for part in coded))
    writing, reading = (
        1000 * sum(seconds) / len(images) for seconds in zip(*(part[3:] for part in coded), strict=True)
    )
    weights = sum(p.numel() for prior in run.modules[1:] for p in prior.parameters())
    print(
        f"\nthe prior's weights: {weights:,} numbers, {4 * weights:,} bytes in float32, not among the files; writing "
        f"took {writing:.0f} ms an image, reading {reading:.0f} ms (one thread, {at_a_time(run)} images "
        f"together); {seconds / 60:.1f} minutes with {options.processes} processes; all compared with the pixels"
    )


if __name__ == "__main__":
    main()
