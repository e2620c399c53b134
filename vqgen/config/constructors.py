"""Whether every key and value of a config fits the constructor that it goes to; constructors are read from source."""

import ast
from collections.abc import Mapping, Sequence

from vqgen.config.annotation import fits
from vqgen.config.ranges import KNOWN, check_ranges
from vqgen.config.signature import Parameter, Signature, definitions, signature
from vqgen.errors import ConfigError, near_miss
from vqgen.runs.old_names import current_name
from vqgen.runs.plain import PlainDict

CODES = "vqgen.data.codes.Codes"
SAMPLES = "vqgen.training.Samples"
EVALUATION = "vqgen.training.Evaluation"
TRAINER = "pytorch_lightning.Trainer"
KNOWN_LATER = "(known once the data are read)"   # fits any

# Constructor arguments that no yaml can hold: the experiment passes them.
RUNTIME = {CODES: {"images", "encode", "fingerprint", "num_embeddings", "level"}, SAMPLES: {"decode"},
           EVALUATION: {"trained"}, TRAINER: {"callbacks", "logger", "plugins", "default_root_dir"}}


def check_node(path: str, value: object) -> None:
    """Check every `_target_` below `path` against its constructor."""
    if isinstance(value, Mapping):
        target = value.get("_target_")
        for key, kind in {"_target_": str, "_partial_": bool}.items():
            if not isinstance(value.get(key, kind()), kind):
                raise ConfigError(f"{path}.{key}={value[key]}: expected {kind.__name__}")
        if target is not None:
            arguments = {k: v for k, v in value.items() if k not in ("_target_", "_partial_")}
            accepts = _without(signature_of(path, target), RUNTIME.get(target, set()))
            check_arguments(path, arguments, accepts, partial=value.get("_partial_", False))
            if target.startswith(KNOWN):
                check_ranges(path, arguments)
        for key, child in value.items():
            check_node(f"{path}.{key}", child)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, child in enumerate(value):
            check_node(f"{path}[{index}]", child)


def _without(accepts: Signature, names: set[str]) -> Signature:
    return accepts._replace(parameters={k: p for k, p in accepts.parameters.items() if k not in names})


def signature_of(path: str, target: str) -> Signature:
    """The arguments of the class that `path` names; ConfigError with the near miss where there is none."""
    try:
        return signature(target)
    except LookupError:
        module, _, name = target.rpartition(".")
        now = current_name(target)
        miss = near_miss(name, definitions(module)) if now == target else f"; it is {now} now"
        raise ConfigError(f"{path}._target_={target}: there is no such class{miss}") from None


def check_arguments(path: str, values: PlainDict, accepts: Signature, partial: bool = False) -> None:
    """Raise ConfigError unless the keys and values at `path` are those a signature takes; partial may lack some."""
    prefix = f"{path}." if path else ""
    for key, value in values.items():
        parameter = accepts.parameters.get(key)
        if parameter is not None:
            _check_type(prefix + key, value, parameter)
        elif not accepts.open_ended:
            raise ConfigError(f"{prefix}{key}={value}: no such option{near_miss(key, accepts.parameters)}")
    missing = [k for k, p in accepts.parameters.items() if p.required and k not in values]
    if missing and not partial:
        raise ConfigError(f"{prefix}{missing[0]} is missing: it has no default")


def _check_type(path: str, value: object, parameter: Parameter) -> None:
    if value == KNOWN_LATER or parameter.annotation is None or fits(value, parameter.annotation):
        return
    kind = ast.unparse(parameter.annotation)
    raise ConfigError(f"{path}={value}: expected {kind}, got {type(value).__name__} {value!r}")
