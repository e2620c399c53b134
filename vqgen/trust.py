"""What the config of a run on disk may name: nothing that it says is run, or written to, unless it is ours."""

import importlib
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vqgen.errors import CheckpointError

ALLOWED = ("vqgen", "torch.optim", "pytorch_lightning")   # packages whose classes may be named
DEFINED_IN = (
    "vqgen", "torch.optim", "pytorch_lightning.trainer", "pytorch_lightning.callbacks", "pytorch_lightning.loggers",
    "pytorch_lightning.profilers",
)  # fmt: skip
RESOLVERS = {"run_folder", "sweep_name"}   # that may be asked
_OURS = tuple(f"{package}." for package in ALLOWED)
_WRITTEN = ("dirpath", "save_dir", "default_root_dir", "root_dir", "dir", "log_dir")


def refuse_foreign(node: Any, file: Path, path: str = "config") -> None:
    """Raise CheckpointError where a config from a file names anything to build but a class of the allow-list.

    Args:
        node: the config, or the section of it that is to be built.
        file: where it comes from.
        path: what the node is called in the message.
    """
    for where, target in _targets(node, path):
        if not _is_allowed(target):
            raise CheckpointError(
                f"'{file}' names {where}={target}, which is not a class of {' or '.join(ALLOWED)}: refused"
            )


def refuse_foreign_names(node: Any, file: Path) -> None:
    """As `refuse_foreign`, for a config whose references are not resolved yet; imports nothing."""
    for where, value in _targets(node, "config"):
        if where.endswith("._target_"):
            ours = str(value).startswith(_OURS)
        else:
            ours = isinstance(value, str) and "${" in value and RESOLVERS.issuperset(_resolvers(value))
        if not ours:
            raise CheckpointError(f"'{file}' names {where}={value}, which is not of {' or '.join(ALLOWED)}: refused")


def refuse_foreign_run(config: Mapping[str, Any], file: Path, folder: Path) -> None:
    """Refuse to go on with a run whose config would run, or write outside `folder`, what is not ours.

    Args:
        config: resolved, of a run that is resumed.
        file: where it comes from.
        folder: of the run.

    Raises:
        CheckpointError: what is refused, and where it stands.
    """
    refuse_foreign(config, file)
    for where, path in _written_paths({k: config[k] for k in ("callbacks", "logger", "trainer")}, "config"):
        if not Path(path).resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(f"'{file}' would write {where}={path}, outside of '{folder}': refused")


def _written_paths(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every folder or file that an object of the config would write to, and where it is named."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, str) and (key in _WRITTEN or os.path.isabs(value) or ".." in Path(value).parts):
                yield f"{path}.{key}", value
            else:
                yield from _written_paths(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _written_paths({str(index): value}, path)


def _targets(node: Any, path: str) -> Iterator[tuple[str, Any]]:
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


def _resolvers(text: str) -> list[str]:
    return re.findall(r"\$\{([^{}]+?):", text)


def _is_allowed(target: Any) -> bool:
    """A class, reached through and defined in an allowed package (so not `vqgen.some_module.os.system`)."""
    if not isinstance(target, str) or not target.startswith(_OURS):
        return False
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return False
    packages = tuple(f"{package}." for package in DEFINED_IN)
    return inspect.isclass(found) and f"{found.__module__}.".startswith(packages)
