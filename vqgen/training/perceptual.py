"""The frozen network that a perceptual loss compares images by: that of another run."""

import torch
from torch import nn

from vqgen.errors import ConfigError
from vqgen.nn.likelihoods import Perceptual
from vqgen.plain import PlainDict
from vqgen.protocols import Autoencoder, Classifier
from vqgen.runs.allow_list import refuse_foreign
from vqgen.runs.checkpoint import Run, module_of, open_run


def network_of(path: str, resumed: Run | None) -> PlainDict:
    """The config of the network, which goes into the config of the model: a checkpoint then rebuilds itself alone.

    Args:
        path: of the run that has it.
        resumed: the run that goes on, which has it already if it has weights.

    Raises:
        ConfigError: the resumed run has that of another run.
        CheckpointError: it names what is not ours.
    """
    run = resumed if resumed and resumed.has_weights else open_run(path)
    if run is resumed and path != (kept := run.config.get("perceptual")):
        raise ConfigError(
            f"perceptual={path}: '{run.folder}' goes on with the network that it has, of {kept}; leave it out"
        )
    model: PlainDict = run.config["model"]
    refuse_foreign(model, run.file, "model")
    return model["likelihood"]["network"] if run is resumed else model


def give_network(model: nn.Module, path: str) -> None:
    """Give the perceptual loss of a new model the weights of the run.

    Raises:
        ConfigError: the run has no network of such images.
    """
    network = module_of(open_run(path))
    if not isinstance(network, Autoencoder | Classifier):
        raise ConfigError(
            f"perceptual={path}: this run is a {type(network).__name__}, which sees no images; take a classifier or an "
            "autoencoder"
        )
    likelihood, images = model.likelihood, model.shape
    assert isinstance(likelihood, Perceptual)
    assert isinstance(images, tuple)
    if network.shape[0] != images[0]:
        raise ConfigError(f"perceptual={path}: its images have {network.shape[0]} channels, and these {images[0]}")
    likelihood.network.load_state_dict(network.state_dict())
    x = torch.zeros(1, *images)
    try:
        likelihood.distance(x, x)
    except ValueError as error:
        raise ConfigError(f"perceptual={path}: {error}") from error
