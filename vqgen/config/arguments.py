"""Whether the keys and values of a config fit the classes that they go to, by signatures and annotations."""

import importlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from vqgen.config.ranges import KNOWN, check_ranges
from vqgen.errors import ConfigError, near_miss
from vqgen.runs.old_names import current_name

CODES = "vqgen.data.codes.Codes"
PERCEPTUAL = "vqgen.nn.likelihoods.Perceptual"
KNOWN_LATER = "(known once the data are read)"  # fits any annotation
RUNTIME = {  # arguments that no yaml can hold: the experiment passes them
    CODES: {"images", "encode", "fingerprint", "num_embeddings", "level"},
    "vqgen.training.Samples": {"decode"},
    "vqgen.training.Evaluation": {"trained"},
    PERCEPTUAL: {"network"},
    "pytorch_lightning.Trainer": {"callbacks", "logger", "plugins", "default_root_dir"},
}
_SEQUENCES = (list, tuple, Sequence, Collection, Iterable)


class Parameter(NamedTuple):
    """An argument: its annotation (of `inspect`), and whether it has no default."""

    annotation: object
    required: bool


class Signature(NamedTuple):
    """The arguments of a class or function by name; `open_ended`: it takes others as well."""

    parameters: dict[str, Parameter]
    open_ended: bool = False


def signature(made: Callable[..., object]) -> Signature:
    """The arguments of a class or function.

    Those that a class takes by `**kwargs` are the arguments of its base class, which it may fill in by itself.
    """
    try:
        found = [*inspect.signature(made, eval_str=True).parameters.values()]
    except NameError:  # of an annotation that is imported for type checkers alone
        names = vars(importlib.import_module(made.__module__))
        found = [_evaluated(p, names) for p in inspect.signature(made).parameters.values()]
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    parameters = {p.name: Parameter(p.annotation, p.default is p.empty) for p in named}
    if all(p.kind is not p.VAR_KEYWORD for p in found):
        return Signature(parameters)
    if not inspect.isclass(made):
        return Signature(parameters, open_ended=True)
    _, *bases = [base for base in made.__mro__ if "__init__" in vars(base)]
    if not bases:  # object itself
        return Signature(parameters)
    inherited = signature(bases[0])
    handed_on = {name: one._replace(required=False) for name, one in inherited.parameters.items()}
    return Signature(handed_on | parameters, inherited.open_ended)


def _evaluated(parameter: inspect.Parameter, names: Mapping[str, Any]) -> inspect.Parameter:
    """The parameter with its annotation evaluated, where the names in it are there."""
    try:
        return parameter.replace(annotation=eval(parameter.annotation, dict(names)))
    except (NameError, TypeError):
        return parameter


def signature_at(key: str, target: str) -> Signature:
    """The arguments of the class that a config names by `key`.

    Raises:
        ConfigError: there is no such class, or its module needs another that is not installed.
    """
    module, _, name = target.rpartition(".")
    names: list[str] = []
    path = ""
    try:
        names = _public(package := importlib.import_module(module))
        return signature(getattr(package, name))
    except ImportError as error:
        if not (isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")):
            raise ConfigError(f"{key}={target}: {error}") from error
        if error.name == target.partition(".")[0]:
            path = f", as there is no package {error.name}: if it is your own, put its folder on PYTHONPATH"
    except (AttributeError, ValueError, TypeError):  # no such name, no module at all, or nothing that can be called
        pass
    now = current_name(target)
    miss = path or near_miss(name, names) if now == target else f"; it is {now} now"
    raise ConfigError(f"{key}={target}: there is no such class{miss}") from None


def _public(module: object) -> list[str]:
    """The classes and functions that a package offers."""
    return [name for name, value in vars(module).items() if name[0] != "_" and callable(value)]


def check_node(path: str, value: object) -> None:
    """Check every `_target_` below `path` against the class that it names: parts first, as they need fewer imports."""
    if isinstance(value, list):
        for index, child in enumerate(value):
            check_node(f"{path}[{index}]", child)
    if not isinstance(value, Mapping):
        return
    for key, child in value.items():
        check_node(f"{path}.{key}", child)
    for key, kind in {"_target_": str, "_partial_": bool}.items():
        if not isinstance(value.get(key, kind()), kind):
            raise ConfigError(f"{path}.{key}={value[key]}: expected {kind.__name__}")
    if target := value.get("_target_"):
        arguments = {k: v for k, v in value.items() if k not in ("_target_", "_partial_")}
        accepts = signature_at(f"{path}._target_", target)
        given = {k: p for k, p in accepts.parameters.items() if k not in RUNTIME.get(target, ())}
        check_arguments(path, arguments, accepts._replace(parameters=given), value.get("_partial_", False))
        if target.startswith(KNOWN):
            check_ranges(path, arguments)


def check_arguments(path: str, values: Mapping[str, object], accepts: Signature, partial: bool = False) -> None:
    """Raise ConfigError unless the keys and values at `path` are those a signature takes; partial may lack some."""
    prefix = f"{path}." if path else ""
    for key, value in values.items():
        parameter = accepts.parameters.get(key)
        if parameter is None:
            if not accepts.open_ended:
                raise ConfigError(f"{prefix}{key}={value}: no such option{near_miss(key, accepts.parameters)}")
        elif value != KNOWN_LATER and not fits(value, parameter.annotation):
            raise ConfigError(f"{prefix}{key}={value}: {_expected(value, parameter.annotation)}")
    missing = [k for k, p in accepts.parameters.items() if p.required and k not in values]
    if missing and not partial:
        later = f" ({prefix}_partial_=true leaves it to who makes the object)" if "." in path else ""
        raise ConfigError(f"{prefix}{missing[0]} is missing: it has no default{later}")


def _expected(value: object, annotation: object) -> str:
    """What an argument annotated so may be, where this value does not fit."""
    if get_origin(annotation) is Literal:
        return f"no such choice{near_miss(str(value), map(str, get_args(annotation)))}"
    return f"expected {inspect.formatannotation(annotation)}, got {type(value).__name__} {value!r}"


def fits(value: object, annotation: object) -> bool:
    """Whether a value of a yaml file may be an argument annotated so.

    A list may be any sequence and a whole number a float; a truth value is no number, and an object of a class is made
    of a node with `_target_`.
    """
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if kind is Literal:
        return value in inner
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if kind in (bool, str):
        return isinstance(value, bool if kind is bool else str)
    if kind in _SEQUENCES:
        if not isinstance(value, list):
            return False
        if kind is tuple and inner and inner[-1] is not ...:
            return len(value) == len(inner) and all(map(fits, value, inner))
        return not inner or all(fits(one, inner[0]) for one in value)
    if kind is Path and isinstance(value, str):
        return True
    tells_nothing = kind in (Any, object, inspect.Parameter.empty) or isinstance(kind, str | TypeVar)
    return tells_nothing or isinstance(value, Mapping)
