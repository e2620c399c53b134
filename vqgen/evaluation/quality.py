"""The figures of two sets of images, real and generated, by the features of one network."""

from collections.abc import Callable
from typing import NamedTuple

from vqgen.metrics.density_coverage import DensityCoverage, density_coverage
from vqgen.metrics.features import Features, frechet_distance, inception_score, kernel_distance
from vqgen.metrics.precision_recall import PrecisionRecall, precision_recall


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


def _floats(figures: PrecisionRecall | DensityCoverage) -> dict[str, float]:
    return {name: float(value) for name, value in figures._asdict().items()}


def too_few(name: str, num_images: int, num_features: int) -> str | None:
    """Why a measure cannot be taken of so few images, or None."""
    least = MEASURES[name].least(num_features)
    if num_images >= least:
        return None
    return f"{name} needs {least} images or more with {num_features} features, and here are {num_images}"


def compare(real: Features, generated: Features, names: list[str], network: str) -> dict[str, float]:
    """The figures of these measures, each named with the network whose features it is of, as in `fid(classifier)`."""
    figures: dict[str, float] = {}
    for name in names:
        figures |= MEASURES[name].figures(real, generated)
    return {f"{name}({network})": value for name, value in figures.items()}
