"""Which measures a run can have, and why it cannot have another."""

from typing import NamedTuple

from vqgen.errors import UserError, near_miss
from vqgen.measure import networks, quality, sources
from vqgen.measure.likelihood import likelihood_of
from vqgen.protocols import Autoencoder, Variational
from vqgen.runs.trained_run import TrainedRun

RECONSTRUCTION = ["reconstruction", "lpips", *quality.OF_RECONSTRUCTIONS]
SAMPLES = [*quality.MEASURES, "neighbours"]
LIKELIHOOD = ["likelihood", "likelihood_over_labels"]
OF_LABELS = ["label_accuracy", "cas"]  # of samples, by the classes of the project's own classifier
ALL = [*RECONSTRUCTION, *LIKELIHOOD, *SAMPLES, *OF_LABELS]
BY_FEATURES = [*quality.OF_RECONSTRUCTIONS, *SAMPLES, *OF_LABELS]
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
    """The measures asked for, or all that the run can have but `cas`, which trains three classifiers.

    UserError for a measure asked for that does not exist, or that this run cannot have.
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
        labelled = ["label_accuracy"] if trained.num_classes else []
        return [*(LIKELIHOOD if marginal else ["likelihood"]), *SAMPLES, *labelled]
    return [*RECONSTRUCTION, "likelihood", *SAMPLES] if isinstance(trained.model, Variational) else RECONSTRUCTION


def obstacle(case: Case, name: str) -> str:
    """Why this measure cannot be taken, in words; empty where it can."""
    trained, network = case.trained, case.network
    run = f"'{trained.folder}' is {trained.a_kind}"
    if name in RECONSTRUCTION and not isinstance(trained.autoencoder, Autoencoder):
        return f"{run}, which reconstructs nothing"
    if name == "likelihood" and not trained.priors:
        if not isinstance(trained.model, Variational):
            return f"{run}: a prior or a VAE gives images a likelihood"
        if likelihood_of(trained.model) is None:
            loss = type(trained.model.likelihood).__name__
            return f"'{trained.folder}' was trained with {loss}, which is a loss and no likelihood"
    if name == "likelihood_over_labels" and (lack := lacks_labels(trained)):
        return f"it needs {lack}; {run}"
    if name in (*SAMPLES, *OF_LABELS) and (lack := sources.lacks_samples(trained)):
        return f"it needs {lack}; {run}"
    if name in BY_FEATURES and isinstance(network, str):
        return network
    if name in AGAINST_TRAINING and case.split == "train":
        return f"{name} compares with the training images themselves: take split=val or split=test"
    if name in OF_LABELS and (isinstance(network, str) or network.name != "classifier"):
        return f"{name} is of the classes of classifier=RUN: take features=classifier"
    if name in OF_LABELS and not trained.num_classes:
        return f"{name} needs samples of each class, and '{trained.folder}' was trained without labels"
    if name in OF_LABELS and "label" not in trained.images().split(case.split).given:
        return f"{name} draws samples with the labels of images, and these have none"
    measure = {"neighbours": "precision_recall"}.get(name, name)
    if measure in quality.ALL and not isinstance(network, str):
        few = quality.too_few(measure, case.num_images, network.module.num_features)
        return few and f"{name} {few}: raise num_samples, or take a larger split"
    return networks.lacks_lpips() if name == "lpips" else ""


def lacks_labels(trained: TrainedRun) -> str:
    """What is missing for a likelihood over labels; empty where nothing is."""
    if not trained.num_classes:
        return "priors that know labels; without them metrics=likelihood is over labels"
    return sources.lacks_priors(trained)
