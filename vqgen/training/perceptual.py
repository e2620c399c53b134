"""The frozen network that a perceptual loss compares images by: that of another run."""

from typing import Any

from torch import nn

from vqgen.errors import ConfigError
from vqgen.nn.likelihoods import Perceptual
from vqgen.plain import PlainDict
from vqgen.runs.checkpoint import Run, module_of, open_run


def network_of(path: str, resumed: Run | None) -> PlainDict:
    """The config of the network, which goes into the config of the model: a checkpoint then rebuilds itself alone.

    Args:
        path: of the run that has it.
        resumed: the run that goes on, which has it already if it has weights.
    """
    if resumed and resumed.has_weights:
        kept: PlainDict = resumed.config["model"]["likelihood"]["network"]
        return kept
    return open_run(path).config["model"]


def give_network(model: nn.Module, path: str) -> None:
    """Give the perceptual loss of a new model the weights of the run.

    Raises:
        ConfigError: the run has no network of such images.
    """
    network: Any = module_of(open_run(path))
    likelihood, shape = model.likelihood, getattr(network, "shape", None)
    assert isinstance(likelihood, Perceptual)
    if shape is None or not (hasattr(network, "features") or hasattr(network, "encode")):
        raise ConfigError(
            f"perceptual={path}: this run is a {type(network).__name__}, which sees no images; take a classifier or an "
            "autoencoder"
        )
    if shape[0] != model.shape[0]:  # type: ignore[index]
        raise ConfigError(f"perceptual={path}: its images have {shape[0]} channels, and these {model.shape[0]}")  # type: ignore[index]
    likelihood.network.load_state_dict(network.state_dict())
