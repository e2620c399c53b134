"""Compresses with priors of every kind, waits for a line, and decompresses what others have written meanwhile.

    python -m tests.tasks.written FOLDER NAME

writes FOLDER/NAME_KIND_IMAGE.vqc, and prints for every file of that folder whether its codes come back. The weights are
those in FOLDER/weights.pt: from the same seed, another processor draws others.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.tasks import tiny
from vqgen.errors import UserError
from vqgen.models.prior import RasterPrior
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.coding import blocks_of, compressed, decompressed

IMAGES = 1
_SNAIL = partial(PixelSNAIL, hidden_channels=32, residual_channels=32, num_layers=2, attention_channels=32)
KINDS = {"gated": (GatedPixelCNN, (16, 16)), "pixelcnn": (PixelCNN, (4, 4)), "pixelsnail": (_SNAIL, (4, 4))}


def run(kind: str) -> TrainedRun:
    network, grid = KINDS[kind]
    prior = RasterPrior(network, Conditioner, grid, 128, [], [], 0, **tiny.TRAINING)
    return tiny.trained(tiny.vqvae2(), [prior.eval().requires_grad_(False)])


def save_weights(folder: Path) -> None:
    torch.save({kind: [m.state_dict() for m in _models(run(kind))] for kind in KINDS}, folder / "weights.pt")


def _models(trained: TrainedRun) -> list[Any]:
    return [trained.tokenizer, *trained.priors]


def codes(kind: str, image: int) -> torch.Tensor:
    grid = KINDS[kind][1]
    return torch.randint(128, (1, *grid), generator=torch.Generator().manual_seed(image))


def main(folder: Path, name: str) -> None:
    runs = {kind: run(kind) for kind in KINDS}
    weights = torch.load(folder / "weights.pt", weights_only=True)
    for kind, trained in runs.items():
        for model, state in zip(_models(trained), weights[kind], strict=True):
            model.load_state_dict(state)
        for image in range(IMAGES):
            contents = compressed(trained, [codes(kind, image)], [None])[0].contents
            (folder / f"{name}_{kind}_{image}.vqc").write_bytes(contents)
    print("written", torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(), flush=True)
    sys.stdin.readline()
    for file in sorted(folder.glob("*.vqc")):
        _, kind, image = file.stem.split("_")
        try:
            found = decompressed(runs[kind], blocks_of(runs[kind], {file.name: file.read_bytes()}))[0].codes[0]
            said = "read" if torch.equal(found, codes(kind, int(image))) else "other codes"
        except UserError as error:
            said = str(error)
        print(f"{file.stem}: {said}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
