"""The words of a sweep that go to Hydra's sweeper: they exist, and fit, before the first job begins."""

from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from vqgen.config.arguments import check_arguments, check_node, signature
from vqgen.config.ranges import check_ranges
from vqgen.errors import ConfigError
from vqgen.plain import PlainDict
from vqgen.runs.leaderboard import is_search
from vqgen.sweeps import OptunaSweeper
from vqgen.sweeps.samplers import class_of
from vqgen.sweeps.search import require_optuna

_DIRECTIONS = {"min": "minimize", "max": "maximize"}  # by the mode of a checkpoint callback


def searched_by_config(cfg: DictConfig, overrides: Sequence[Override]) -> list[str]:
    """The words of `hydra.sweeper.params` that no word of the command line comes before.

    Args:
        cfg: with Hydra's own config.
        overrides: the words of the command line.
    """
    given = {override.key_or_group for override in overrides}
    params = cfg.hydra.sweeper.get("params") or {}
    old = cfg.hydra.sweeper.get("search_space") or {}
    return [
        *(f"{key}={value}" for key, value in params.items() if str(key).lstrip("+~") not in given),
        *(f"{key}={_example(node)}" for key, node in old.items() if key not in given),
    ]


def _example(node: DictConfig) -> object:
    """A value of an entry of `search_space`."""
    choices = node.get("choices")
    return choices[0] if choices else node.get("low")


def check_search(cfg: DictConfig) -> None:
    """Raise ConfigError where an option of a search on Optuna does not fit, or Optuna is not installed.

    Args:
        cfg: with Hydra's own config.
    """
    if not is_search(cfg):
        return
    require_optuna()
    values: PlainDict = OmegaConf.to_container(cfg.hydra.sweeper, resolve=True)  # type: ignore[assignment]
    options = {key: value for key, value in values.items() if not key.startswith("_")}
    _check_direction(cfg, options["direction"])
    check_arguments("hydra.sweeper", options, signature(OptunaSweeper))
    check_ranges("hydra.sweeper", options)
    for part in filter(options.get, ("sampler", "pruner")):
        class_of(options[part], f"{part}s")
        check_node(f"hydra.sweeper.{part}", options[part] | {"_partial_": True})


def _check_direction(cfg: DictConfig, direction: object) -> None:
    """The direction of a search is that of the checkpoint callback whose best value is the objective."""
    best = OmegaConf.select(cfg, "callbacks.best") or {}
    mode = best.get("mode", "min")
    if direction != _DIRECTIONS.get(mode, direction) or direction not in _DIRECTIONS.values():
        monitor = best.get("monitor", "val/loss")
        raise ConfigError(
            f"hydra.sweeper.direction={direction}: take {_DIRECTIONS.get(mode, 'minimize')}: the objective is the best "
            f"{monitor} (callbacks.best.mode={mode})"
        )
