"""Networks that images are compared by."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from vqgen.errors import UserError, command
from vqgen.measure.metrics.inception import FILE, Inception
from vqgen.protocols import Classifier, FeatureNetwork, Images
from vqgen.runs.provenance import differences
from vqgen.runs.trained_run import TrainedRun

ALEXNET = "alexnet-owt-7be5be79.pth"


class Network(NamedTuple):
    """A module with `describe` and `num_features`, and the name that figures made with it carry."""

    module: FeatureNetwork
    name: str


def feature_network(
    trained: TrainedRun, images: Images, features: str, classifier: str | None, weights: str | None
) -> Network:
    """The network `features`: `classifier` or `inception`; UserError where it is not there, or does not fit the images.

    Args:
        trained: the run to be measured.
        images: its data module.
        features: which of the two.
        classifier: RUN of the classifier.
        weights: file of the Inception network's weights.
    """
    if features not in ("classifier", "inception"):
        raise UserError(f"features={features}: take classifier or inception")
    if features == "classifier":
        return Network(open_classifier(trained, images, classifier), "classifier")
    try:
        return Network(Inception(weights).to(trained.device).requires_grad_(False), "inception")
    except FileNotFoundError as error:
        raise UserError(
            f"features=inception: there are no weights at '{error}'; put {FILE} of torch-fidelity there, say where it "
            "is by inception_weights=FILE, or take features=classifier"
        ) from None
    except (RuntimeError, UnpicklingError, EOFError):
        shown = weights or Path(torch.hub.get_dir(), "checkpoints", FILE)
        raise UserError(f"inception_weights={shown}: this is not {FILE} of torch-fidelity, or not all of it") from None
    except ModuleNotFoundError:
        raise UserError(
            "features=inception needs torch-fidelity: pip install torch-fidelity, or take features=classifier"
        ) from None


def open_classifier(trained: TrainedRun, images: Images, path: str | None) -> Classifier:
    """The classifier of the run at `path`; UserError unless it is one for images of this size and these classes."""
    if path is None:
        train = command("train", "model=classifier", "data=DATA")
        raise UserError(f"classifier=RUN is needed: train one with {train}")
    try:
        other = trained.open(path)
    except UserError as error:
        told = str(error)
        about = told.removeprefix("run=") if told.startswith("run=") else f"{path}: {told.removeprefix('run: ')}"
        raise UserError(f"classifier={about}") from None
    model = other.model
    if not isinstance(model, Classifier):
        raise UserError(f"classifier={path}: this run is {other.a_kind} and no classifier")
    if tuple(model.shape) != tuple(images.shape):
        raise UserError(
            f"classifier={path}: it was trained on images of {list(model.shape)}, and those of '{trained.folder}' are "
            f"{list(images.shape)}: train one on them"
        )
    if trained.class_names and other.class_names != trained.class_names:
        missing = [name for name in trained.class_names if name not in other.class_names]
        named = f"it does not know {', '.join(missing[:3])}" if missing else "it has them in another order, or more"
        raise UserError(
            f"classifier={path}: its classes are not those of '{trained.folder}' ({named}): train one on the same data"
        )
    if changed := "; ".join(differences(trained.data, other.data)):
        warnings.warn(f"classifier={path} learned from other images than '{trained.folder}': {changed}", stacklevel=2)
    return model


def lacks_lpips() -> str:
    """What is missing for `lpips_network`; empty where nothing is. Nothing is downloaded."""
    path = Path(torch.hub.get_dir(), "checkpoints", ALEXNET)
    if not path.is_file():
        return f"lpips needs torchvision's AlexNet weights at '{path}'"
    return "" if find_spec("torchvision") else "lpips needs torchvision: pip install torchvision"


def lpips_network() -> LearnedPerceptualImagePatchSimilarity:
    """LPIPS with AlexNet, from weights that are here already (see `lacks_lpips`)."""
    return LearnedPerceptualImagePatchSimilarity("alex", sync_on_compute=False)
