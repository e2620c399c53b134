"""The optimiser of a model: of its players, and of the groups of their parameters."""

from collections.abc import Callable, Container, Mapping, Sequence

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict

from vqgen.errors import ConfigError, near_miss
from vqgen.optim.composite import Composite
from vqgen.optim.groups import REST, ParameterGroup, groups_of
from vqgen.optim.players import Game, Player

Parameters = Mapping[str, nn.Parameter]
Groups = Mapping[str, ParameterGroup]


class OptimizerError(Exception):
    """An optimiser does not take its options, or its parameters.

    Args:
        cause: what it raised.
        at: where its options stand in the config.
        options: its options.
    """

    def __init__(self, cause: Exception, at: str, options: Mapping[str, object]) -> None:
        super().__init__(f"{at}: {cause}")
        self.cause, self.at, self.options = cause, at, options


def make_optimizer(game: Game, groups: Groups) -> tuple[Optimizer, list[Player]]:
    """The optimiser that trains every player's parameters in their groups, and the player of each of its groups.

    A group that changes no option of an optimiser is joined with the rest. From a checkpoint the optimiser takes the
    state of each parameter by its name, and keeps its own groups and options: both may change when a run is resumed.

    Raises:
        ConfigError: a group fits no parameter, or has an option that its optimiser does not know.
        OptimizerError: an optimiser refuses its options or parameters.
    """
    group_of = groups_of(game.module, groups)
    optimizers: list[Optimizer] = []
    owners: list[Player] = []
    for number, (player, parameters) in enumerate(zip(game.players, game.parameters, strict=True)):
        made = _of_player(player, parameters, groups, group_of, prefix=f"{player.name}/" if number else "")
        optimizers += made
        owners += [player for one in made for _ in one.param_groups]
    optimizer = optimizers[0] if len(optimizers) == 1 else Composite(optimizers)
    if len(owners) == 1:
        del optimizer.param_groups[0]["name"]  # by which the rate of one group would be logged as one of many
    names = [name for name, parameter in game.module.named_parameters() if parameter.requires_grad]
    optimizer.register_load_state_dict_pre_hook(lambda one, saved: by_name(one, saved, names))
    return optimizer, owners


def _of_player(
    player: Player, parameters: Parameters, groups: Groups, group_of: Mapping[str, str], prefix: str
) -> list[Optimizer]:
    """The player's optimiser, and those that groups of its parameters bring along."""

    def group(name: str, keys: Container[str], options: Mapping[str, object] = {}) -> dict[str, object]:
        params = [(full_name, p) for full_name, p in parameters.items() if group_of[full_name] in keys]
        return {"params": params, "name": f"{prefix}{name}", **options}

    present = {group_of[name] for name in parameters}
    own = {key: one.optimizer for key, one in groups.items() if one.optimizer and key in present}
    shared = present - own.keys()
    made = []
    if shared:
        at = f"optimizer of {player.name}" if prefix else "optim"
        defaults = _made(player.optimizer, [group("", shared)], at).defaults
        options = {key: _changes(defaults, key, one) for key, one in groups.items() if key in shared}
        changed = {key: changes for key, changes in options.items() if changes}
        rest = shared - changed.keys()
        nodes = [group(REST, rest)] if rest else []
        nodes += [group(key, {key}, changes) for key, changes in changed.items()]
        made.append(_made(player.optimizer, nodes, at))
    for key, factory in own.items():
        one = _made(factory, [group(key, {key})], f"parameter_groups.{key}")
        one.param_groups[0] |= _changes(one.defaults, key, groups[key])
        made.append(one)
    return made


def _made(factory: Callable[..., Optimizer], nodes: list[dict[str, object]], at: str) -> Optimizer:
    try:
        return factory(nodes)
    except Exception as error:
        raise OptimizerError(error, at, getattr(factory, "keywords", {})) from error


def _changes(defaults: Mapping[str, object], key: str, group: ParameterGroup) -> dict[str, object]:
    """The options of a group that differ from those of its optimiser.

    Raises:
        ConfigError: the optimiser has no such option, and the group is not a rule for many models.
    """
    for name, value in group.options.items():
        if name not in defaults and group.required:
            known = near_miss(name, defaults)
            raise ConfigError(f"parameter_groups.{key}.{name}={value}: the optimiser has no such option{known}")
    known_options = {name: value for name, value in group.options.items() if name in defaults}
    return {name: value for name, value in known_options.items() if _as_list(defaults[name]) != _as_list(value)}


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def by_name(optimizer: Optimizer, saved: StateDict, names: Sequence[str]) -> StateDict:
    """A saved state in the groups that `optimizer` has now, which keep their options; parameters are found by name.

    A state of an older version has no names: it follows `names`, those of the parameters in the order of the model.
    """
    saved_groups = saved["param_groups"]
    indices = [index for group in saved_groups for index in group["params"]]
    known = [name for group in saved_groups for name in group.get("param_names", [])] or names
    if len(known) != len(indices):
        raise ValueError(f"the saved optimiser has {len(indices)} parameters, and the model trains {len(known)}")
    state = {name: saved["state"][index] for name, index in zip(known, indices, strict=True) if index in saved["state"]}
    state_dict = optimizer.state_dict()
    groups = state_dict["param_groups"]
    now = [pair for group in groups for pair in zip(group["params"], group["param_names"], strict=True)]
    return state_dict | {"state": {index: state[name] for index, name in now if name in state}}
