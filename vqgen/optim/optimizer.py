"""The optimiser of a model: of its players, and of the groups of their parameters."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict

from vqgen.errors import ConfigError, near_miss
from vqgen.optim.composite import joined
from vqgen.optim.groups import REST, ParameterGroup, groups_of
from vqgen.optim.players import Game, Player

Parameters = Mapping[str, nn.Parameter]
Groups = Mapping[str, ParameterGroup]


class Refused(Exception):
    """An optimiser did not take its options, or its parameters; what it said is the cause.

    Args:
        at: where its options stand in the config.
        options: its options.
    """

    def __init__(self, at: str, options: Mapping[str, Any]) -> None:
        super().__init__(at)
        self.at, self.options = at, options


def make_optimizer(game: Game, groups: Groups) -> tuple[Optimizer, list[Player]]:
    """The optimiser that trains every player's parameters in their groups, and whose each of its groups is.

    A group that changes no option of an optimiser is none. Of a checkpoint it takes the state of each parameter by its
    name, and keeps its own groups and options: so both may change when a run goes on.

    Raises:
        ConfigError: a group fits no parameter, or has an option that its optimiser does not know.
        Refused: an optimiser says no.
    """
    group_of = groups_of(game.module, groups)
    optimizers, owners = [], []
    for number, (player, parameters) in enumerate(zip(game.players, game.parameters, strict=True)):
        made = _of_player(player, parameters, groups, group_of, prefix=f"{player.name}/" if number else "")
        optimizers += made
        owners += [player for one in made for _ in one.param_groups]
    optimizer = joined(optimizers)
    if len(owners) == 1:
        del optimizer.param_groups[0]["name"]   # by which the rate of one group would be logged as one of many
    names = [name for name, parameter in game.module.named_parameters() if parameter.requires_grad]
    optimizer.register_load_state_dict_pre_hook(lambda one, saved: by_name(one, saved, names))
    return optimizer, owners


def _of_player(
    player: Player, parameters: Parameters, groups: Groups, group_of: Mapping[str, str], prefix: str
) -> list[Optimizer]:
    """The player's optimiser, and those that groups of its parameters bring along."""
    parts = {key: _part(parameters, group_of, {key}) for key in (REST, *groups)}
    own = {key: group.optimizer for key, group in groups.items() if group.optimizer and parts[key]}
    shared = {key: parts[key] for key in parts if key not in own and parts[key]}
    made, at = [], f"optimizer of {player.name}" if prefix else "optim"
    if shared:
        defaults = _made(at, player.optimizer, [_group("", _part(parameters, group_of, shared), {})]).defaults
        others = {key: _others(defaults, key, groups[key]) for key in shared if key != REST}
        changed = {key: options for key, options in others.items() if options}
        rest = _part(parameters, group_of, shared.keys() - changed.keys())
        nodes = [_group(f"{prefix}{REST}", rest, {})] if rest else []
        nodes += [_group(f"{prefix}{key}", parts[key], options) for key, options in changed.items()]
        made.append(_made(at, player.optimizer, nodes))
    for key, factory in own.items():
        one = _made(f"parameter_groups.{key}", factory, [_group(f"{prefix}{key}", parts[key], {})])
        one.param_groups[0] |= _others(one.defaults, key, groups[key])
        made.append(one)
    return made


def _part(parameters: Parameters, group_of: Mapping[str, str], keys: Container[str]) -> Parameters:
    """The parameters of some groups, in the order of the model."""
    return {name: parameter for name, parameter in parameters.items() if group_of[name] in keys}


def _group(name: str, parameters: Parameters, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"params": [*parameters.items()], "name": name, **options}


def _made(at: str, factory: Callable[..., Optimizer], nodes: Sequence[dict[str, Any]]) -> Optimizer:
    try:
        return factory(nodes)
    except Exception as error:
        raise Refused(at, getattr(factory, "keywords", {})) from error


def _others(defaults: Mapping[str, Any], key: str, group: ParameterGroup) -> dict[str, Any]:
    """The options of a group that are others than those of its optimiser.

    Raises:
        ConfigError: the optimiser has no such option, and the group is no rule for many.
    """
    for name, value in group.options.items():
        if name not in defaults and group.required:
            known = near_miss(name, defaults)
            raise ConfigError(f"parameter_groups.{key}.{name}={value}: the optimiser has no such option{known}")
    return {
        name: value for name, value in group.options.items()
        if name in defaults and _plain(defaults[name]) != _plain(value)
    }  # fmt: skip


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def by_name(optimizer: Optimizer, saved: StateDict, names: Sequence[str]) -> StateDict:
    """A saved state in the groups of `optimizer` as they are now, the state of each parameter found by its name.

    Args:
        optimizer: that will load it; its groups know the names of their parameters, and keep their options.
        saved: in any groups.
        names: of the parameters in the order of the model, for a state of before groups knew names.
    """
    saved_groups = saved["param_groups"]
    indices = [index for group in saved_groups for index in group["params"]]
    known = [name for group in saved_groups for name in group.get("param_names", [])] or names
    if len(known) != len(indices):
        raise ValueError(f"the saved optimiser has {len(indices)} parameters, and the model trains {len(known)}")
    state = {name: saved["state"][index] for name, index in zip(known, indices, strict=True) if index in saved["state"]}
    state_dict = optimizer.state_dict()
    now = [(i, name) for group in state_dict["param_groups"]
           for i, name in zip(group["params"], group["param_names"], strict=True)]  # fmt: skip
    return state_dict | {"state": {index: state[name] for index, name in now if name in state}}
