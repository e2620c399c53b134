"""Samplers and pruners of Optuna, by the nodes of a config."""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from vqgen.errors import ConfigError, first_line, near_miss
from vqgen.plain import PlainDict
from vqgen.sweeps.space import Space, values_of

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def class_of(node: PlainDict, kind: str) -> Any:
    """The class of `optuna.samplers` or `optuna.pruners` that a node names.

    Raises:
        ConfigError: there is no such class.
    """
    package = importlib.import_module(f"optuna.{kind}")
    target = str(node.get("_target_"))
    module, _, name = target.rpartition(".")
    found = getattr(package, name, None)
    if module != package.__name__ or not inspect.isclass(found):
        at = f"hydra.sweeper.{kind.removesuffix('s')}._target_"
        raise ConfigError(f"{at}={target}: no class of {package.__name__}{near_miss(name, package.__all__)}")
    return found


def made(node: PlainDict, kind: str, **more: Any) -> Any:
    """A sampler or pruner: an object of the class that a node names.

    Raises:
        ConfigError: there is no such class, or it refuses a value, or needs a package that is not installed.
    """
    found = class_of(node, kind)
    try:
        return found(**{key: value for key, value in node.items() if not key.startswith("_")} | more)
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"hydra.sweeper.{kind.removesuffix('s')}: {found.__name__}: {first_line(error)}") from error


def pruner_of(node: PlainDict | None) -> "BasePruner":
    """The pruner of a node; one that never prunes for none."""
    from optuna.pruners import NopPruner

    return made(node, "pruners") if node else NopPruner()


def grid_size(space: Space) -> int:
    """Number of points of a grid."""
    return int(np.prod([len(values_of(name, one)) for name, one in space.searched.items()]))


def sampler_of(node: PlainDict, space: Space, number: int) -> "BaseSampler":
    """The sampler of one trial, with random numbers of its own; a grid or a sequence is one for all trials."""
    from optuna.samplers import GridSampler, QMCSampler

    kind, more = class_of(node, "samplers"), dict[str, Any]()
    if kind is GridSampler:
        more["search_space"] = {name: values_of(name, one) for name, one in space.searched.items()}
    elif kind is not QMCSampler and node.get("seed") is not None:
        more["seed"] = int(np.random.SeedSequence([node["seed"], number]).generate_state(1)[0])
    return made(node, "samplers", **more)
