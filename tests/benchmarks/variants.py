"""A tokenizer in several variants at equal time: with other losses (a critic, a perceptual one), or other decoders.

    python -m tests.benchmarks.variants losses runs/losses --sees CLASSIFIER --measures OTHER --train model=vqvae ...
    python -m tests.benchmarks.variants decoders runs/decoders --measures CLASSIFIER --train model=vqvae2 ...

Each variant trains as many steps as its speed gives it in `--minutes`. FID and KID are by features of the classifier
`--measures`, which no loss may have used. What is trained already is not trained again; the table is printed, and
`reconstructions.png` has the originals above what each variant makes of them.
"""

import argparse
import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from tests.benchmarks.quantizer_table import QUIET
from tests.benchmarks.records import cells, kept, table
from tests.conftest import composed
from vqgen.config.check import check
from vqgen.experiment import train
from vqgen.pictures import plots
from vqgen.pictures.figures import save_plot
from vqgen.runs.opening import open_trained
from vqgen.tasks import Evaluate

COMPARED = ["model/likelihood=perceptual"]
CRITIC = ["model/critic=patch", "callbacks.best.monitor=null"]
VARIANTS: dict[str, dict[str, list[str]]] = {
    "losses": {"plain": [], "perceptual": COMPARED, "critic": CRITIC, "both": [*COMPARED, *CRITIC]},
    "decoders": {way: [f"model.upsample={way}"] for way in ("transposed", "resize", "shuffle")},  # of model=vqvae2
}
COLUMNS = {
    "steps": ("steps", ",.0f"),
    "PSNR": ("psnr", ".2f"),
    "SSIM": ("ssim", ".3f"),
    "FID": ("rfid(classifier)", ".3f"),
    "KID": ("rkid(classifier)", ".4f"),
    "weave": ("weave", ".2f"),
    "ripple": ("ripple", ".2f"),
}
TRIED = 60  # steps of the trial that tells a variant's speed, the first third of them not counted
SPEED = "train/images_per_second"
NUM_SHOWN = 10


def trained_in(folder: Path, words: Sequence[str]) -> Path:
    """A run as train.py makes it."""
    cfg = composed([*words, *QUIET, f"run_dir={folder}"])
    check(cfg)
    train(cfg, folder)
    return folder


def steps_of(minutes: float, words: Sequence[str], folder: Path, whole: bool) -> int:
    """How many steps a variant makes in these minutes, by a trial of it with all its losses."""
    trial = [f"trainer.max_steps={TRIED}", f"trainer.log_every_n_steps={TRIED // 3}", "trainer.limit_val_batches=1"]
    trial += ["trainer.limit_test_batches=1", *(["model.critic.start_step=0"] if whole else [])]
    run = trained_in(folder, [*words, *trial])
    with (run / "metrics.csv").open() as file:
        speeds = [float(row[SPEED]) for row in csv.DictReader(file) if row[SPEED]]
    return round(minutes * 60 * speeds[-1] / open_trained(run).runs[0].config["data"]["batch_size"])


def figures(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Of a variant, trained now."""
    folder: Path = options.out / name
    words = [*options.train, *VARIANTS[options.what][name]]
    words += [f"perceptual={options.sees}"] if COMPARED[0] in words else []
    with_critic = CRITIC[0] in words
    words += options.critic if with_critic else []
    steps = steps_of(options.minutes, words, folder / "trial", with_critic)
    start = [f"model.critic.start_step={steps // 5}"] if with_critic else []
    run = trained_in(folder / "run", [*words, *start, f"trainer.max_steps={steps}", "trainer.max_epochs=-1"])
    evaluate = Evaluate(metrics=["reconstruction", "rfid", "rkid"], classifier=str(options.measures))
    return evaluate(open_trained(run)).records["evaluation"]["metrics"] | {"steps": steps}


def picture(names: Sequence[str], what: str, out: Path) -> None:
    """The first test images, and below them what each variant makes of them."""
    models = {name: open_trained(out / name / "run") for name in names}
    x = models[names[0]].first(NUM_SHOWN, "test").x
    rows = {"original": x} | {name: trained.autoencoder.reconstruct(x) for name, trained in models.items()}
    save_plot(plots.labelled_rows(rows, f"Reconstructions, by {what}"), out / "reconstructions.png")


def main() -> None:
    """Train what is missing, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=VARIANTS, help="what the variants differ in")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--sees", help="run of the classifier that the perceptual loss compares by")
    parser.add_argument("--measures", required=True, help="run of another one, for FID and KID")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, for each variant")
    parser.add_argument("--variants", nargs="*", help="some of them")
    parser.add_argument("--critic", nargs="+", default=[], metavar="WORD", help="more of them, where there is a critic")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train", nargs="+", required=True, metavar="WORD", help="words of train.py")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = options.variants or VARIANTS[options.what]
    found = {name: kept(options.out / name / "figures.json", partial(figures, name, options)) for name in names}
    picture([*found], options.what, options.out)
    print(table(["variant", *COLUMNS], [[name, *cells(one, COLUMNS)] for name, one in found.items()]))


if __name__ == "__main__":
    main()
