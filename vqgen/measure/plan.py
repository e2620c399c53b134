"""Which measures a run can have, and why it cannot have another."""

from typing import NamedTuple

from vqgen.errors import UserError, near_miss
from vqgen.measure import networks, quality, sources
from vqgen.measure.likelihood import likelihood_of
from vqgen.protocols import Autoencoder, Variational
from vqgen.runs.trained_run import TrainedRun

RECONSTRUCTION = ["reconstruction", "lpips", "rfid"]
SAMPLES = [*quality.MEASURES, "neighbours"]
LIKELIHOOD = ["likelihood", "likelihood_over_labels"]
ALL = [*RECONSTRUCTION, *LIKELIHOOD, *SAMPLES, "cas"]
BY_FEATURES = ["rfid", *SAMPLES, "cas"]
AGAINST_TRAINING = ["neighbours", "cas"]


FEW_CLASSES = 16
"""Up to so many classes, `likelihood_over_labels`, which takes a pass for each, is measured unasked."""


class Case(NamedTuple):
    """A run, the split and number of images that it is measured on, and the feature network, or why there is none."""

    trained: TrainedRun
    split: str
    num_images: int
    network: networks.Network | str


class Plan(NamedTuple):
    """Measures to take, and those left out with the reason."""

    chosen: list[str]
    left_out: dict[str, str]


def plan(case: Case, metrics: list[str] | None) -> Plan:
    """What is asked for, or all that the run can have (`cas`, which trains three classifiers, only when asked for).

    Raises:
        UserError: something is asked for that there is not, or that this run cannot have.
    """
    for name in metrics or []:
        if name not in ALL:
            raise UserError(f"metrics={name}: there is no such measure{near_miss(name, ALL)}")
    wanted = defaults(case.trained) if metrics is None else metrics
    obstacles = {name: obstacle(case, name) for name in wanted}
    left_out = {name: reason for name, reason in obstacles.items() if reason}
    if metrics is not None and left_out:
        name, reason = next(iter(left_out.items()))
        raise UserError(f"metrics={name}: {reason}")
    return Plan([name for name in wanted if name not in left_out], left_out)


def defaults(trained: TrainedRun) -> list[str]:
    """All but `cas` that a model of this kind can have."""
    if trained.priors:
        marginal = not lacks_labels(trained) and trained.num_classes <= FEW_CLASSES
        return [*(LIKELIHOOD if marginal else ["likelihood"]), *SAMPLES]
    return [*RECONSTRUCTION, "likelihood", *SAMPLES] if isinstance(trained.model, Variational) else RECONSTRUCTION


def obstacle(case: Case, name: str) -> str | None:
    """Why this measure cannot be taken, in words, or None."""
    try:
        _require(case, name)
    except UserError as error:
        return str(error)
    return None


def _require(case: Case, name: str) -> None:
    trained = case.trained
    if name in RECONSTRUCTION and not isinstance(trained.autoencoder, Autoencoder):
        raise UserError(f"'{trained.folder}' is {trained.a_kind}, which reconstructs nothing")
    if name == "lpips":
        networks.lpips_network()
    if name == "likelihood":
        _require_likelihood(trained)
    if name == "likelihood_over_labels" and (lack := lacks_labels(trained)):
        raise UserError(f"it needs {lack}; '{trained.folder}' is {trained.a_kind}")
    if name in (*SAMPLES, "cas") and (lack := sources.lacks_samples(trained)):
        raise UserError(f"it needs {lack}; '{trained.folder}' is {trained.a_kind}")
    if name in BY_FEATURES and isinstance(case.network, str):
        raise UserError(case.network)
    if name in AGAINST_TRAINING and case.split == "train":
        raise UserError(f"{name} compares with the training images themselves: take split=val or split=test")
    if name == "cas":
        _require_classes(case)
    measure = {"rfid": "fid", "neighbours": "precision_recall"}.get(name, name)
    if measure in quality.MEASURES and isinstance(case.network, networks.Network):
        reason = quality.too_few(measure, case.num_images, case.network.module.num_features)
        if reason:
            raise UserError(f"{name} {reason}: raise num_samples, or take a larger split")


def lacks_labels(trained: TrainedRun) -> str:
    """What is missing for a likelihood over labels; empty where nothing is."""
    if not trained.priors or not sources.has_classes(trained):
        return "priors that know labels; without them metrics=likelihood is over labels"
    return sources.lacks_priors(trained)


def _require_likelihood(trained: TrainedRun) -> None:
    if trained.priors:
        return
    if not isinstance(trained.model, Variational):
        raise UserError(f"'{trained.folder}' is {trained.a_kind}: a prior or a VAE gives images a likelihood")
    if likelihood_of(trained.model) is None:
        name = type(trained.model.likelihood).__name__
        raise UserError(f"'{trained.folder}' was trained with {name}, which is a loss and no likelihood")


def _require_classes(case: Case) -> None:
    if not isinstance(case.network, networks.Network) or case.network.name != "classifier":
        raise UserError("cas trains the classifier of classifier=RUN: take features=classifier")
    if not sources.has_classes(case.trained):
        raise UserError(f"cas needs samples of each class, and '{case.trained.folder}' was trained without labels")
