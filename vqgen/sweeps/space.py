"""What a search looks through: Hydra's words of a sweep as Optuna's distributions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.override_parser.types import Override

from vqgen.errors import ConfigError, near_miss

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_OF_OLD = ("type", "low", "high", "log", "step", "choices")  # options of an entry of `search_space`


class Space(NamedTuple):
    """The words that all trials have, and the distribution of every option that is searched."""

    fixed: list[str]
    searched: "dict[str, BaseDistribution]"


def space_of(overrides: Sequence[Override], search_space: Mapping[str, Any]) -> Space:
    """The space of a sweep; of words for the same option the last one counts.

    Args:
        overrides: `optim.lr=tag(log, interval(1e-4, 1e-2))`, `model.quantizer.num_embeddings=choice(64, 128)`.
        search_space: the same as options by their names, `{type: float, low: 1e-4, high: 1e-2, log: true}`.

    Raises:
        ConfigError: a distribution that there is not, such as a logarithmic one from 0 on.
    """
    fixed: dict[str, str] = {}
    searched = {
        str(name): _told(f"hydra.sweeper.search_space.{name}", _of_options, node) for name, node in search_space.items()
    }
    for override in overrides:
        name = override.get_key_element()
        searched.pop(name, None)
        fixed.pop(name, None)
        if override.is_sweep_override():
            searched[name] = _told(str(override.input_line), _of_word, override)
        else:
            fixed[name] = str(override.input_line)
    return Space(list(fixed.values()), searched)


def values_of(name: str, distribution: "BaseDistribution") -> list[Any]:
    """All values of an option, for a grid.

    Raises:
        ConfigError: there is no end of them.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step:
        number = round((distribution.high - distribution.low) / distribution.step) + 1
        return [float(f"{distribution.low + i * distribution.step:.12g}") for i in range(number)]
    raise ConfigError(f"{name}: a grid has values to count, choice(...) or range(...), no interval")


def _told(word: str, make: Any, given: Any) -> "BaseDistribution":
    try:
        return make(given)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{word}: {error}") from error


def _of_word(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    if override.is_interval_sweep():
        whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        kind = IntDistribution if whole else FloatDistribution
        return kind(sweep.start, sweep.end, log="log" in sweep.tags)
    values: list[Any] = [*override.sweep_iterator()]
    if not values:
        raise ValueError("there is no value in it")
    if not override.is_range_sweep() or sweep.shuffle or len(values) == 1:
        return CategoricalDistribution([*override.sweep_string_iterator()])
    kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
    return kind(min(values), max(values), step=abs(sweep.step))


def _of_options(node: Mapping[str, Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    for key in node:
        if key not in _OF_OLD:
            raise ValueError(f"there is no option {key}{near_miss(key, _OF_OLD)}")
    kinds = {"categorical": CategoricalDistribution, "int": IntDistribution, "float": FloatDistribution}
    kind = str(node.get("type"))
    if kind not in kinds:
        raise ValueError(f"type={kind}: take one of {', '.join(kinds)}")
    if kind == "categorical":
        return CategoricalDistribution([str(choice) for choice in node.get("choices") or []])
    step = {} if node.get("step") is None else {"step": node["step"]}
    return kinds[kind](node.get("low"), node.get("high"), log=bool(node.get("log")), **step)
