"""Parameter groups, by names of parameters: which are trained with other options, or by another optimiser."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

from torch import nn
from torch.optim import Optimizer

from vqgen.errors import ConfigError

REST = "rest"
"""The parameters that no group claims."""


class ParameterGroup:
    """Some of the parameters, which have options of their own.

    Args:
        match: regular expression that is searched for in the full name of a parameter, `encoder.layers.0.bias`, and in
            its name within its class, `Conv2d.bias`; `\\.bias$` finds it by either.
        dims: number of axes of the parameters that are meant, such as 2 for matrices; None for any.
        lr: base learning rate; None for that of the optimiser.
        weight_decay: None for that of the optimiser.
        betas: decay rates of Adam's averages; None for those of the optimiser.
        optimizer: makes an optimiser for these parameters alone; None for the one of all others.
        required: False for a rule for many models, which may find no parameter in this one, or no such option in its
            optimiser.
    """

    def __init__(
        self,
        match: str = "",
        dims: int | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        betas: Sequence[float] | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        required: bool = True,
    ) -> None:
        try:
            self.pattern = re.compile(match)
        except re.error as error:
            raise ValueError(f"match={match}: no regular expression: {error}") from None
        self.dims = dims
        given = {"lr": lr, "weight_decay": weight_decay, "betas": betas}
        self.options = {name: value for name, value in given.items() if value is not None}
        self.optimizer = optimizer
        self.required = required

    def fits(self, parameter: nn.Parameter, *names: str) -> bool:
        """Whether a parameter of these names is one of the group."""
        return self.dims in (None, parameter.dim()) and any(map(self.pattern.search, names))


def groups_of(module: nn.Module, groups: Mapping[str, ParameterGroup]) -> dict[str, str]:
    """Full name of every parameter, and the name of the group that it is in: `REST` where no pattern fits.

    Raises:
        ConfigError: a pattern fits no parameter, or two fit the same.
    """
    if REST in groups:
        raise ConfigError(f"parameter_groups.{REST}: this is what the parameters of no group are called")
    names, parameters = names_within_classes(module), dict(module.named_parameters())
    found = dict.fromkeys(names, REST)
    for key, group in groups.items():
        fitting = [name for name, within in names.items() if group.fits(parameters[name], name, within)]
        if not fitting and group.required:
            candidates = dict.fromkeys([*names.values(), *names])
            near = ", ".join(difflib.get_close_matches(group.pattern.pattern, candidates, n=3, cutoff=0))
            axes = "" if group.dims is None else f" of {group.dims} axes (dims)"
            raise ConfigError(
                f"parameter_groups.{key}.match={group.pattern.pattern}: fits no parameter{axes}; the nearest are {near}"
            )
        for name in fitting:
            if found[name] != REST:
                raise ConfigError(f"parameter_groups.{key} and parameter_groups.{found[name]} both fit {name}")
            found[name] = key
    return found


def names_within_classes(module: nn.Module) -> dict[str, str]:
    """By the full name of each parameter, its name within the module that holds it: `Conv2d.bias`."""
    return {
        f"{path}.{name}".lstrip("."): f"{type(part).__name__}.{name}"
        for path, part in module.named_modules()
        for name, _ in part.named_parameters(recurse=False)
    }
