"""Rate and distortion: PSNR over the bits of an image's file, of every kind of tokenizer with a small prior each.

    python -m tests.benchmarks.rate_distortion runs/rate_distortion               train what is missing, print and draw
    python -m tests.benchmarks.rate_distortion runs/rate_distortion --print       the table and the picture again

Tokenizers and priors are trained as those of `quantizer_table`, on images of 32x32. A file is what `task=compress`
writes of a test image, header and label included; the archive holds all of them in one.
"""

import argparse
import os
from collections.abc import Mapping
from functools import partial
from math import log2, prod
from pathlib import Path

import torch
from matplotlib.figure import Figure

from tests.benchmarks.quantizer_table import DIM, ENCODER, PRIOR, TOKENIZER, run
from tests.benchmarks.records import cells, kept, table
from vqgen import open_trained
from vqgen.pictures.figures import save_plot
from vqgen.tasks import Compress, Evaluate

NUM_IMAGES = 1000
SHAPE = "data.shape=[1,32,32]"
ONE_LEVEL = ["model/quantizer=ema", f"model.quantizer.embedding_dim={DIM}", SHAPE]
HIERARCHY = ["model=vqvae2", "model.hidden_channels=32", "model.residual_channels=16", SHAPE]


def _vqvae(num_embeddings: int, rate_weight: float = 0.0) -> list[str]:
    constrained = (
        [f"model.quantizer.rate_weight={rate_weight}", "model.quantizer.revive_below=0"] if rate_weight else []
    )
    return [*ONE_LEVEL, f"model.quantizer.num_embeddings={num_embeddings}", *constrained]


LINES = {
    "VQ-VAE, by K": {str(k): _vqvae(k) for k in (8, 32, 128, 512)},
    "VQ-VAE, K = 512, by rate weight": {str(w): _vqvae(512, w) for w in (0.003, 0.01, 0.03, 0.1)},
    "RQ-VAE, K = 32, by depth": {
        str(depth): [*_vqvae(32), "model=rqvae", f"model.depth={depth}"] for depth in (1, 2, 3, 4)
    },
    "VQ-VAE-2, by K": {
        str(k): [*HIERARCHY, f"model.quantizer.embedding_dim={DIM}", f"model.quantizer.num_embeddings={k}"]
        for k in (32, 128)
    },
}
COLUMNS = {
    "PSNR": ("psnr", ".2f"),
    "bits of all codes": ("fixed_bits", ",.0f"),
    "of them by the prior": ("prior_bits", ",.0f"),
    "bits of a file": ("file_bits", ",.0f"),
    "bits in the archive": ("archive_bits", ",.0f"),
}


def figures(line: str, point: str, out: Path) -> dict[str, float]:
    """Of a tokenizer and its priors, trained now."""
    folder = _folder(line, point, out)
    words = LINES[line][point]
    base = [word for word in TOKENIZER if not ("model=vqvae2" in words and word in ENCODER)]
    tokenizer = folder / "tokenizer"
    run([*base, *words], tokenizer, out / "data")
    coder = open_trained(tokenizer).coder
    priors = [str(folder / f"prior{level}") for level in range(len(coder.grids))]
    for level, prior in enumerate(priors):
        run([*PRIOR, f"tokenizer={tokenizer}", f"level={level}"], Path(prior), out / "data")
    trained = open_trained(priors)
    options = {"num_images": NUM_IMAGES}
    files = Compress(**options)(trained).records["compress"]
    archive = Compress(**options, archive=True)(trained).records["compress"]
    return {
        "psnr": Evaluate(metrics=["reconstruction"])(trained).records["evaluation"]["metrics"]["psnr"],
        "fixed_bits": sum(prod(grid) * log2(k) for grid, k in zip(coder.grids, coder.num_embeddings, strict=True)),
        "prior_bits": 8 * files["nll_bytes_given_label"] / NUM_IMAGES,
        "file_bits": 8 * files["file_bytes"] / NUM_IMAGES,
        "archive_bits": 8 * archive["file_bytes"] / NUM_IMAGES,
    }


def _folder(line: str, point: str, out: Path) -> Path:
    return out / f"{list(LINES).index(line)}_{point}"


def picture(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """PSNR over the bits of an image in the archive, a curve for each kind."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for (name, points), marker in zip(found.items(), "osD^", strict=False):
        curve = sorted((one["archive_bits"], one["psnr"], point) for point, one in points.items())
        axes.plot([bits for bits, _, _ in curve], [psnr for _, psnr, _ in curve], marker=marker, label=name)
        for bits, psnr, point in curve:
            axes.annotate(
                point, (bits, psnr), xytext=(4, -9 if marker != "o" else 5), textcoords="offset points", fontsize=7
            )
    axes.set_xlabel("bits of an image in the archive that task=compress writes")
    axes.set_ylabel("PSNR of the reconstruction, dB")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return figure


def main() -> None:
    """Train what is missing, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--print", action="store_true", help="train nothing")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("VQGEN_PACKAGES", "tests")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line, points in LINES.items():
        for point in points:
            file = _folder(line, point, options.out) / "figures.json"
            if file.exists() or not options.print:
                found.setdefault(line, {})[point] = kept(file, partial(figures, line, point, options.out))
                print(line, point, found[line][point], flush=True)
    lines = [[name, point, *cells(one, COLUMNS)] for name, points in found.items() for point, one in points.items()]
    print(table(["tokenizer", "", *COLUMNS], lines))
    save_plot(picture(found), options.out / "rate_distortion.png")


if __name__ == "__main__":
    main()
