"""What the config of a run may name, and where it may write: classes of the allow-list, and its own folder."""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from vqgen.errors import CheckpointError, ConfigError, UserError
from vqgen.plain import Plain

ALLOWED = {  # packages whose classes may be named, by the section of the config
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
OWN = "VQGEN_PACKAGES"  # variable of the environment: further packages, of the user, that any section may name
PROGRAM = ("vqgen.runs.Leaderboard", "vqgen.sweeps.*")  # that Hydra itself builds, from its own section
LOCAL = ("vqgen.logging", "pytorch_lightning.loggers.csv_logs", "pytorch_lightning.loggers.tensorboard")
RESOLVERS = ("run_folder", "sweep_name")  # that a reference may call
_FACES = {"pytorch_lightning.Trainer": "pytorch_lightning.trainer.Trainer"}  # named outside of its package
_BASES = {"data": "LightningDataModule"}  # of the section's classes, where the package holds other things as well
_REFERENCE = re.compile(rf"\$\{{(?:(?:{'|'.join(RESOLVERS)}):)?[\w.\[\]]*\}}")
_DIRECTIVE = re.compile(r"\._(?!partial_$)")  # `_target_` and what else Hydra would do
_PATH = re.compile(r"(dir|path|root)[^.]*$")  # the name of an option that is a folder or file by itself
_TRUST = "; if the run is your own: trust=true"


def refuse_foreign(node: Plain, file: Path | None, section: str) -> None:
    """Raise an error where a section of a config names anything to build but a class of the allow-list.

    Args:
        node: the section, resolved.
        file: where it comes from; None for a new run, which could not be opened again.
        section: its name; one that is not in the allow-list may name nothing.
    """
    for path, value in leaves(node, section):
        if "${" in str(value) or (_DIRECTIVE.search(path) and not _is_allowed(path, value, section)):
            raise _refusal(file, path, value, section)


def refuse_foreign_names(config: Mapping[str, Plain], file: Path) -> None:
    """As `refuse_foreign`, for a whole config whose references are not resolved yet; imports nothing."""
    for section, node in config.items():
        for path, value in leaves(node, section):
            foreign = "${" in _without_references(str(value))
            if foreign or (_DIRECTIVE.search(path) and not _is_named(path, value, section)):
                raise _refusal(file, path, value, section)


def refuse_foreign_config(config: Mapping[str, Plain], file: Path | None) -> None:
    """As `refuse_foreign`, for all sections."""
    for section, node in config.items():
        refuse_foreign(node, file, section)


def may_be_built() -> list[str]:
    """All names that some section may name, as Hydra knows them: the second look, at what the first has let pass."""
    return [*_FACES, *{f"{prefix}*" for section in ALLOWED for prefix in _prefixes(section)}]


def named(node: Plain) -> list[str]:
    """What a node of the user's own words would have built, such as a task."""
    return [str(value) for path, value in leaves(node, "") if path.endswith("._target_")]


def refuse_foreign_writing(config: Mapping[str, Plain], file: Path, folder: Path) -> None:
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
    refuse_links(folder, folder, _TRUST)
    for name, node in (config["logger"] or {}).items():
        if not getattr(_found(node["_target_"]), "__module__", "").startswith(LOCAL):
            raise CheckpointError(
                f"'{file}' names logger.{name}={node['_target_']}, which may send what the run shows to others: refused"
                f"{_TRUST}"
            )
    for section in ("callbacks", "logger", "trainer"):
        for path, value in leaves(config[section], section):
            if isinstance(value, str) and (_PATH.search(path) or leads_away(value)) and not _is_inside(value, folder):
                raise CheckpointError(f"'{file}' would write {path}={value}, outside of '{folder}': refused{_TRUST}")


def refuse_links(place: Path, folder: Path, advice: str) -> None:
    """Raise CheckpointError where `place` or a name in it, however deep, is a link that leads out of `folder`.

    W&B's own links stay: each of its parts of a run has one to its log, and none is written to again.
    """
    for path in filter(Path.is_symlink, [place, *place.rglob("*")]):
        parts = path.relative_to(folder).parts
        of_wandb = parts[:1] == ("wandb",) and len(parts) > 3
        if not of_wandb and path != folder and not path.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(
                f"'{path}' is a link that leads out of '{folder}', to '{path.resolve()}': refused{advice}"
            )


def leaves(node: Plain, path: str) -> Iterator[tuple[str, Plain]]:
    """Key path and value of everything in a config that holds nothing itself: `("optim.betas[0]", 0.9)`."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, node


def _is_allowed(path: str, target: object, section: str) -> bool:
    """A class, reached through and defined in an allowed package (so not `vqgen.some_module.os.system`)."""
    found = _found(str(target)) if _is_named(path, target, section) else None
    return (
        inspect.isclass(found)
        and f"{found.__module__}.".startswith(_prefixes(section))
        and _BASES.get(section, found.__name__) in {base.__name__ for base in found.__mro__}
    )


def _is_named(path: str, target: object, section: str) -> bool:
    """Whether this is the name of a class of an allowed package."""
    return path.endswith("._target_") and _FACES.get(str(target), str(target)).startswith(_prefixes(section))


def own_packages() -> list[str]:
    """The packages of the user that any section may name."""
    return os.environ.get(OWN, "").replace(",", " ").split()


def find_own_packages() -> None:
    """From now on, the packages of the user are found in the working directory too, where none is installed."""
    if not any(isinstance(finder, _Here) for finder in sys.meta_path):
        sys.meta_path.append(_Here(Path.cwd()))


class _Here(MetaPathFinder):
    """Finds the packages of the user in a folder, and nothing else that happens to lie there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where a package is, before it is imported."""
        return PathFinder.find_spec(name, [str(self.folder)]) if path is None and name in own_packages() else None


def _prefixes(section: str) -> tuple[str, ...]:
    """How the names of classes of a section begin; a section that may name nothing names none of the user's either."""
    return tuple(f"{package}." for package in (*ALLOWED[section], *own_packages())) if section in ALLOWED else ()


def _found(target: str) -> object:
    """What a name stands for; None where there is nothing."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None


def _without_references(text: str) -> str:
    """A text less its references to other options and to the resolvers that may be called, innermost first."""
    while (shorter := _REFERENCE.sub("", text)) != text:
        text = shorter
    return text


def leads_away(value: str) -> bool:
    """Whether a text, taken as the name of a file in some folder, would leave that folder."""
    return os.path.isabs(value) or ".." in Path(value).parts or value.startswith("~") or "://" in value


def _is_inside(value: str, folder: Path) -> bool:
    """Whether a path that is opened as it stands lies in a folder; Lightning expands ~, variables and addresses."""
    places = (Path(one).resolve() for one in (value, os.path.expandvars(value)))
    special = value.startswith("~") or "://" in value
    return not special and all(place.is_relative_to(folder.resolve()) for place in places)


def _refusal(file: Path | None, path: str, target: object, section: str) -> UserError:
    """That a name is refused; with what to do where it may be that of a class of the user's own package."""
    kind = f"not a class of {' or '.join(ALLOWED[section])}" if section in ALLOWED else "no plain value"
    package, *rest = str(target).split(".")
    known = {name.partition(".")[0] for names in ALLOWED.values() for name in names} | sys.stdlib_module_names
    is_class = path.endswith("._target_") and section in ALLOWED and rest
    may_be_own = is_class and package.isidentifier() and package not in known
    advice = f"; if {package} is your own package: export {OWN}={package}" if may_be_own else ""
    if may_be_own and any(f"{name}.".startswith(f"{package}.") for name in own_packages()):
        advice = f", as there is no such class: is the folder of {package} on PYTHONPATH?"
    if file is None:
        return ConfigError(f"{path}={target}: {kind}: refused, as the run could not be opened again{advice}")
    return CheckpointError(f"'{file}' names {path}={target}, which is {kind}: refused{advice}")
