"""The figures of two sets of images, real and generated, by the features of one network."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from vqgen.measure.metrics.density_coverage import DensityCoverage, density_coverage
from vqgen.measure.metrics.features import (
    frechet_distance,
    inception_score,
    kernel_distance,
    paired_kernel_distance,
)
from vqgen.measure.metrics.precision_recall import PrecisionRecall, precision_recall
from vqgen.protocols import Features

ENOUGH, ENOUGH_FOR_KID = 10_000, 1000  # images; fewer are measured, with a note
ROUGH, TOO_HIGH = ["rkid", "kid"], ["rfid", "fid"]  # of few images
MOVED = ["precision", "recall", "density", "coverage"]


class Measure(NamedTuple):
    """`figures` of (real, generated) by name; it makes no sense for fewer images than `least` (of the features)."""

    figures: Callable[[Features, Features], dict[str, float]]
    least: Callable[[int], int]


MEASURES = {
    "fid": Measure(lambda r, g: {"fid": frechet_distance(r.vectors, g.vectors)}, lambda d: d + 1),
    "kid": Measure(lambda r, g: {"kid": kernel_distance(r.vectors, g.vectors)}, lambda d: 50),
    "inception_score": Measure(lambda r, g: {"inception_score": inception_score(g.log_prob)}, lambda d: 100),
    "precision_recall": Measure(lambda r, g: _floats(precision_recall(r.vectors, g.vectors)), lambda d: 10),
    "density_coverage": Measure(lambda r, g: _floats(density_coverage(r.vectors, g.vectors)), lambda d: 10),
}

OF_RECONSTRUCTIONS = {
    "rfid": Measure(lambda r, g: {"rfid": frechet_distance(r.vectors, g.vectors)}, lambda d: d + 1),
    "rkid": Measure(lambda r, g: {"rkid": paired_kernel_distance(r.vectors, g.vectors)}, lambda d: 50),
}
ALL = MEASURES | OF_RECONSTRUCTIONS


def _floats(figures: PrecisionRecall | DensityCoverage) -> dict[str, float]:
    return {name: float(value) for name, value in figures._asdict().items()}


def too_few(name: str, num_images: int, num_features: int) -> str:
    """Why a measure cannot be taken of so few images, as the rest of a sentence about it; empty where it can."""
    least = ALL[name].least(num_features)
    enough = num_images >= least
    return "" if enough else f"needs {least} images or more with {num_features} features, and here are {num_images}"


def compare(real: Features, generated: Features, names: list[str], network: str) -> dict[str, float]:
    """The figures of these measures, each named with the network whose features it is of, as in `fid(classifier)`."""
    figures: dict[str, float] = {}
    for name in names:
        figures |= ALL[name].figures(real, generated)
    return {f"{name}({network})": value for name, value in figures.items()}


def notes(figures: Iterable[str], num_images: int) -> list[str]:
    """What to know before comparing these figures, such as `fid(classifier)`, with others; nothing for enough images.

    FID falls as the number of images grows, KID does not (arXiv 1801.01401); the others move with it as well.
    `num_images` is the number of real ones, and of generated ones.
    """
    taken = {name.partition("(")[0] for name in figures}
    high, moved = ([name for name in names if name in taken] for names in (TOO_HIGH, MOVED))
    found = []
    if (high or moved) and num_images < ENOUGH:
        said = [f"{' and '.join(high)} too high"] if high else []
        said += [f"{', '.join(moved)} other than of more"] if moved else []
        found.append(
            f"{num_images} images are few ({'; '.join(said)}): compare with figures of as many images only; "
            f"published ones are of {ENOUGH:,} at least"
        )
    rough = [name for name in ROUGH if name in taken]
    if rough and num_images < ENOUGH_FOR_KID:
        names = f"{' and '.join(rough)} {'are' if len(rough) > 1 else 'is'}"
        found.append(f"{names} right on average, and rough with {num_images} images: take {ENOUGH_FOR_KID:,} or more")
    return found
