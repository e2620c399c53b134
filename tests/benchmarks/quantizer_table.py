"""The table of quantizers: the same tokenizer with each of them, and a small prior on its codes.

    python -m tests.benchmarks.quantizer_table runs/quantizers                      train what is missing, and print
    python -m tests.benchmarks.quantizer_table runs/quantizers --kinds ema fsq --sizes 128 --seeds 0
    python -m tests.benchmarks.quantizer_table runs/quantizers --print              the table of what is there

A tokenizer and its prior are each one run as train.py makes it. `peer_NAME` is the class of vector-quantize-pytorch in
the same place. `residual` has two maps of codes, of the root of K each.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from math import log, sqrt
from pathlib import Path
from typing import NamedTuple

import torch

from tests.benchmarks.records import Figures, kept, table
from tests.conftest import composed
from vqgen.config.check import check
from vqgen.experiment import train
from vqgen.training.divergence import DivergenceError

SIZES, SEEDS = (128, 1024, 8192), (0, 1, 2)
OF_A_SIZE = ("fsq", "lfq", "bsq")  # K decides how many numbers a vector has
KINDS = (
    *("ema", "gradient", "gradient_kmeans", "cosine", "rotation", "fsq"),
    *("lfq", "bsq", "simvq", "diveq", "ibq", "gumbel", "residual"),
)
PEERS = ("ema", "gradient", "gradient_kmeans", "cosine", "rotation", "fsq", "lfq", "simvq")
CHOICES = {
    "residual": ["model=rqvae", "model.depth=2"],
    "gradient_kmeans": ["model/quantizer=gradient", "model.quantizer.kmeans=true"],
}
DIM = 16
ENCODER = ["model.encoder.hidden_channels=32", "model.encoder.residual_channels=16"]
TOKENIZER = [
    *("model=vqvae", *ENCODER, "data=fashion_mnist", "data.batch_size=64"),
    *("optim.lr=2e-3", "trainer.max_epochs=1"),
]
NETWORK = ["model.network.channels=48", "model.network.num_layers=2", "model.network.dropout=0"]
PRIOR = [
    *("model=transformer", *NETWORK, "data.batch_size=64", "optim.lr=5e-3", "schedule.warmup_steps=50"),
    *("trainer.max_steps=400", "trainer.gradient_clip_val=1.0"),
]
QUIET = ["logger=csv", "hardware=cpu", "trainer.enable_progress_bar=false", "trainer.enable_model_summary=false"]


class Job(NamedTuple):
    """A tokenizer of the table."""

    kind: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.kind}_{self.size}_{self.seed}"

    @property
    def num_embeddings(self) -> int:
        """Codes of a codebook."""
        return round(sqrt(self.size)) if self.kind == "residual" else self.size

    def words(self) -> list[str]:
        """What train.py is told for the tokenizer."""
        words = [*TOKENIZER, f"seed={self.seed}"]
        kind = self.kind.removeprefix("peer_")
        if kind != self.kind:
            peer = f"{{_target_:{__package__}.peer_quantizers.PeerQuantizer,kind:{kind},num_embeddings:{self.size}"
            return [*words, "~model/quantizer", f"+model.quantizer={peer},embedding_dim:{DIM}}}"]
        words += CHOICES.get(kind, [f"model/quantizer={kind}"])
        words += [] if kind in OF_A_SIZE else [f"model.quantizer.embedding_dim={DIM}"]
        return [*words, f"model.quantizer.num_embeddings={self.num_embeddings}"]

    def prior_words(self, tokenizer: Path, level: int) -> list[str]:
        """What train.py is told for the prior of a level."""
        return [*PRIOR, f"tokenizer={tokenizer}", f"level={level}", f"seed={self.seed}"]


def run(words: Sequence[str], folder: Path, data: Path) -> dict[str, float]:
    """Train as train.py does; its figures of the test images, and the seconds of computing."""
    cfg = composed([*words, *QUIET, f"run_dir={folder}", f"data_dir={data}"])
    check(cfg)
    start = time.process_time()
    train(cfg, folder)
    seconds = time.process_time() - start
    with (folder / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    return {key.removeprefix("test/"): float(value) for key, value in last.items() if value and "test/" in key} | {
        "seconds": seconds
    }


def figures(job: Job, out: Path) -> dict[str, float]:
    """Of a job, trained now."""
    folder, data = out / job.name, out / "data"
    found = run(job.words(), folder / "tokenizer", data)
    suffixes = ["_depth1", "_depth2"] if job.kind == "residual" else [""]
    priors = [run(job.prior_words(folder / "tokenizer", i), folder / f"prior{i}", data) for i in range(len(suffixes))]
    shutil.rmtree(data / "codes", ignore_errors=True)
    return {
        "nmse": found["recon_loss"],
        "psnr": found["psnr"],
        "usage": statistics.mean(found[f"codebook_usage{suffix}"] for suffix in suffixes),
        "perplexity": statistics.geometric_mean(found[f"perplexity{suffix}"] for suffix in suffixes),
        "bits": sum(prior["nats_per_code"] for prior in priors) / log(2),
        "seconds": found["seconds"],
    }


COLUMNS = {
    "NMSE": ("nmse", ".4f"),
    "codes in use": ("usage", ".1%"),
    "perplexity": ("perplexity", ".0f"),
    "bits a position for the prior": ("bits", ".2f"),
    "seconds": ("seconds", ".0f"),
}


def summary(found: Mapping[Job, Figures]) -> str:
    """A line for each kind and size, the mean over seeds and half of the range after it."""
    lines = []
    for kind, size in dict.fromkeys((job.kind, job.size) for job in found):
        runs = [figures for job, figures in found.items() if (job.kind, job.size) == (kind, size)]
        means = [_cell([figures[key] for figures in runs], form) for key, form in COLUMNS.values()]
        lines.append([f"`{kind}`", f"{size:,}", *means])
    return table(["quantizer", "K", *COLUMNS], lines)


def _cell(values: Sequence[float], form: str) -> str:
    mean, half = statistics.mean(values), (max(values) - min(values)) / 2
    return f"{mean:{form}}" + (f" ± {half:{form}}" if len(values) > 1 else "")


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--kinds", nargs="*", default=(*KINDS, *(f"peer_{kind}" for kind in PEERS)))
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--print", action="store_true", help="train nothing")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("VQGEN_PACKAGES", "tests")  # where the peers are

    def file_of(job: Job) -> Path:
        return Path(options.out, job.name, "figures.json")

    jobs = [Job(*job) for job in product(options.kinds, options.sizes, options.seeds)]
    if not options.print:
        for job in sorted(jobs, key=lambda job: (job.seed, job.size)):
            try:
                print(job.name, kept(file_of(job), partial(figures, job, options.out)), flush=True)
            except DivergenceError as error:
                print(job.name, error, flush=True)
    print(summary({job: json.loads(file_of(job).read_text()) for job in jobs if file_of(job).exists()}))


if __name__ == "__main__":
    main()
