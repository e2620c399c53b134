"""The first picture of the README: samples, holes painted again, and where the prior is surprised.

    python -m tests.benchmarks.first_picture docs/pictures/first.png

All of released runs, with seed 0, drawn and not chosen; the images are the first test images of five classes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from vqgen.batch import from_bytes
from vqgen.drawing import Sampling
from vqgen.pictures import plots
from vqgen.runs.opening import open_trained
from vqgen.tasks import NLL, Complete, Sample

COLUMNS = 10
HOLE = [0.25, 0.2, 0.75, 0.8]
HOLED = ["ankle-boot", "dress"]
LIT = ["bag", "sandal", "coat", "shirt", "t-shirt"]


def images(pixels: UInt8[ndarray, "n c h w"]) -> Float[Tensor, "n 3 h w"]:
    """Bytes as a row of RGB images."""
    return from_bytes(torch.from_numpy(np.ascontiguousarray(pixels))).expand(-1, 3, -1, -1)


def main(path: Path) -> None:
    """Draw the picture."""
    run = open_trained("fashion_vqvae2_transformer")
    labels = np.asarray(run.images().split("test").labels)
    first = {name: int(np.flatnonzero(labels == i)[0]) for i, name in enumerate(run.class_names)}
    drawn = images(Sample(3 * COLUMNS, sampling=Sampling(seed=0))(run).arrays["samples"])
    rows = dict(zip(("drawn,", "not chosen,", "seed 0"), drawn.split(COLUMNS), strict=True))

    holes = Complete(HOLE, True, [first[name] for name in HOLED], num_samples=COLUMNS - 2)(run).arrays
    painted = [value for key, value in holes.items() if key.startswith("completions/")]
    rows |= dict(zip(("a hole", "painted again"), map(images, painted), strict=True))

    nats = NLL([first[name] for name in LIT])(run).arrays
    (_, originals), *_, (_, heat) = [item for item in nats.items() if item[0].startswith("nll/")]
    pairs = torch.stack([images(originals), images(heat)], 1).flatten(0, 1)
    rows["where the prior\nis surprised"] = pairs
    plots.labelled_rows(rows, "").savefig(path, dpi=150, bbox_inches="tight")
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
