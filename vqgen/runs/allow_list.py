"""What the config of a run on disk may name: nothing that it says is run, or written to, unless it is ours."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vqgen.errors import CheckpointError
from vqgen.runs.plain import PlainDict

ALLOWED = {   # packages whose classes may be named, by the section of the config
    "model": ("vqgen.models", "vqgen.nn", "vqgen.optim", "torch.optim"),
    "optim": ("torch.optim",),
    "schedule": ("vqgen.optim",),
    "parameter_groups": ("vqgen.optim", "torch.optim"),
    "data": ("vqgen.data",),
    "callbacks": ("vqgen.training", "vqgen.tasks", "pytorch_lightning.callbacks"),
    "logger": ("vqgen.logging", "pytorch_lightning.loggers"),
    "trainer": ("pytorch_lightning.trainer", "pytorch_lightning.profilers"),
    "tune": ("vqgen.training",),
}
OWN = "VQGEN_PACKAGES"   # variable of the environment: further packages, of the user, that any section may name
SHORT = {"pytorch_lightning": "pytorch_lightning.trainer"}   # pytorch_lightning.Trainer is in a package of its own
_TAKES = {"data": "train_dataloader"}   # what a class of the section has, where the package holds other things as well
LOCAL = ("vqgen.logging", "pytorch_lightning.loggers.csv_logs", "pytorch_lightning.loggers.tensorboard")
RESOLVERS = ("run_folder", "sweep_name")   # that may be asked
_REFERENCE = re.compile(rf"\$\{{(?:(?:{'|'.join(RESOLVERS)}):)?[\w.\[\]]*\}}")
_PATHS = re.compile("dir|path|root")   # in the names of options that are folders or files by themselves
_OWN = "; if the run is your own: trust=true"


def refuse_foreign(node: object, file: Path | None, section: str) -> None:
    """Raise CheckpointError where a section of a config names anything to build but a class of the allow-list.

    Args:
        node: the section, resolved.
        file: where it comes from; None for the config of a run that begins.
        section: its name; one that is not in the allow-list may name nothing.
    """
    for where, target in _targets(node, section):
        if not _is_allowed(target, section):
            raise CheckpointError(_refused(file, where, target, section))


def refuse_foreign_names(config: PlainDict, file: Path) -> None:
    """As `refuse_foreign`, for a whole config whose references are not resolved yet; imports nothing."""
    for section, node in config.items():
        for where, value in _targets(node, section):
            if where.endswith("._target_"):
                ours = str(value).startswith(_prefixes(section))
            else:
                ours = isinstance(value, str) and "${" in value and "${" not in _without_references(value)
            if not ours:
                raise CheckpointError(_refused(file, where, value, section))


def refuse_foreign_config(config: PlainDict, file: Path | None) -> None:
    """As `refuse_foreign`, for all sections; before a training too, whose run could else not be opened again."""
    for section, node in config.items():
        refuse_foreign(node, file, section)


def refuse_foreign_writing(config: PlainDict, file: Path, folder: Path) -> None:
    """Refuse to go on with a run whose config would send to others, or write outside of `folder`.

    Args:
        config: resolved, of a run that is resumed; with `trust` it may write and send anywhere.
        file: where it comes from.
        folder: of the run.

    Raises:
        CheckpointError: what is refused, and where it stands.
    """
    if config.get("trust"):
        return
    refuse_links(folder, folder, _OWN)
    for name, node in (config["logger"] or {}).items():
        if not _found(node["_target_"]).__module__.startswith(LOCAL):
            raise CheckpointError(
                f"'{file}' names logger.{name}={node['_target_']}, which may send what the run shows to others: refused"
                f"{_OWN}"
            )
    for section in ("callbacks", "logger", "trainer"):
        for where, path in _written_paths(config[section], section):
            if not _is_inside(path, folder):
                raise CheckpointError(f"'{file}' would write {where}={path}, outside of '{folder}': refused{_OWN}")


def refuse_links(place: Path, folder: Path, advice: str) -> None:
    """Raise CheckpointError where `place` or a name in it, however deep, is a link that leads out of `folder`.

    W&B's own links stay: each of its parts of a run has one to its log, and none is written to again.
    """
    for path in filter(Path.is_symlink, [place, *place.rglob("*")]):
        parts = path.relative_to(folder).parts
        if parts[:1] == ("wandb",) and len(parts) > 3:
            continue
        if path != folder and not path.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(
                f"'{path}' is a link that leads out of '{folder}', to '{path.resolve()}': refused{advice}"
            )


def _is_inside(path: str, folder: Path) -> bool:
    """Whether a path that is opened as it stands lies in a folder; Lightning expands ~, variables and addresses."""
    special = path.startswith("~") or "://" in path
    places = (Path(one).resolve() for one in (path, os.path.expandvars(path)))
    return not special and all(place.is_relative_to(folder.resolve()) for place in places)


def _written_paths(node: object, path: str) -> Iterator[tuple[str, str]]:
    """Every folder or file that an object of the config would write to, and where it is named."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, str) and (_PATHS.search(key) or _leads_away(value)):
                yield f"{path}.{key}", value
            else:
                yield from _written_paths(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _written_paths({str(index): value}, path)


def _leads_away(value: str) -> bool:
    """Whether a text, taken as the name of a file in some folder, would leave that folder."""
    return os.path.isabs(value) or ".." in Path(value).parts or value.startswith("~") or "://" in value


def _targets(node: object, path: str) -> Iterator[tuple[str, Any]]:
    """Every `_target_` below a node, and every string that would be resolved at building."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if str(key).startswith("_") and key not in ("_partial_",):
                yield f"{path}.{key}", value
            else:
                yield from _targets(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _targets(value, f"{path}[{index}]")
    elif isinstance(node, str) and "${" in node:
        yield path, node


def _without_references(text: str) -> str:
    """A text less its references to other options and to the resolvers that may be asked, innermost first."""
    while (shorter := _REFERENCE.sub("", text)) != text:
        text = shorter
    return text


def _prefixes(section: str) -> tuple[str, ...]:
    """How the names of classes of a section begin."""
    packages = _packages(section)
    short = [name for name, package in SHORT.items() if package in packages]
    return tuple(f"{package}." for package in (*packages, *short))


def _packages(section: str) -> tuple[str, ...]:
    """Whose classes a section may name; one that may name nothing names nothing of the user's either."""
    own = filter(None, os.environ.get(OWN, "").replace(",", " ").split())
    return (*ALLOWED[section], *own) if section in ALLOWED else ()


def _refused(file: Path | None, where: str, target: object, section: str) -> str:
    """That a name is refused; with what to do where it may be that of a class of the user's own package."""
    source = f"'{file}'" if file else "the config"
    told = f"{source} names {where}={target}, which is {_not_of(section)}: refused"
    package, *rest = str(target).split(".")
    known = {name.partition(".")[0] for names in ALLOWED.values() for name in names} | sys.stdlib_module_names
    if where.endswith("._target_") and section in ALLOWED and rest and package.isidentifier() and package not in known:
        told += f"; if {package} is your own package: export {OWN}={package}"
    return told


def _not_of(section: str) -> str:
    packages = ALLOWED.get(section)
    return f"not a class of {' or '.join(packages)}" if packages else "no plain value"


def _is_allowed(target: object, section: str) -> bool:
    """A class, reached through and defined in an allowed package (so not `vqgen.some_module.os.system`)."""
    if not isinstance(target, str) or not target.startswith(_prefixes(section)):
        return False
    found = _found(target)
    packages = tuple(f"{package}." for package in _packages(section))
    return (
        inspect.isclass(found)
        and f"{found.__module__}.".startswith(packages)
        and hasattr(found, _TAKES.get(section, "__init__"))
    )


def _found(target: str) -> object:
    """What a name stands for; None where there is nothing."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
