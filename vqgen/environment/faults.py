"""Which exceptions become one line: those of a library that a value of the config caused. Others keep a traceback."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import dropwhile
from types import TracebackType

from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vqgen.errors import SHOW, ConfigError, UserError
from vqgen.plain import Plain

OTHERS = {
    "torch",
    "torchmetrics",
    "pytorch_lightning",
    "lightning_fabric",
    "lightning_utilities",
    "hydra",
    "omegaconf",
    "numpy",
    "matplotlib",
    "PIL",
    "wandb",
    "tensorboard",
    "tqdm",
    "fsspec",
    "jaxtyping",
    "beartype",
}
"""Packages that have no fault of their own when they refuse a value; so have those of Python itself."""

_HARDWARE = ("accelerator", "devices", "num_nodes", "strategy", "precision")  # of the trainer, set in `hardware`
_NO_KEYS = re.compile(r"^(training|task|sampling)\.")  # in a key path, what the user does not type
_USED = ("trainer", "callbacks", "optim", "schedule", "logger")  # sections whose values are used by the code of others


def explained(error: BaseException, at: str, node: Plain) -> ConfigError:
    """The error in one line that names the option, as far as its words tell which it is.

    Args:
        error: what was raised.
        at: key path of `node`; or `training` or `task`, whose options stand at the root of the config.
        node: the section of the config that holds the value.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    if is_memory(error):
        return ConfigError(f"{at}: {lines[0]}: this does not fit into memory; smaller sizes or data.batch_size will")
    where = _named(lines[0], at, node)
    if isinstance(error, ValueError | ImportError | MisconfigurationException):
        key, equals, value = where.partition("=")
        named = f"{key.rpartition('.')[2]}{equals}{value} "
        if equals and lines[0].startswith(named):  # `rate_weight=-1 must be at least 0`
            return ConfigError(f"{where} {lines[0].removeprefix(named)}")
        return ConfigError(f"{where}: {lines[0]}")
    return ConfigError(f"{where}: {type(error).__name__}: {lines[0]} ({SHOW}=1 shows where)")


def is_told(error: BaseException) -> bool:
    """Whether a constructor raised this for a value: by a ValueError, or in the code of others."""
    told = isinstance(error, ValueError | ImportError | MisconfigurationException) or is_memory(error)
    frames = [*_packages(error.__traceback__)]
    return told or bool(frames and frames[-1] in _foreign())


@contextmanager
def told(config: Mapping[str, Plain]) -> Iterator[None]:
    """Around a training: what the code of others raises for a value of the config, at its first use, is one line.

    An error on whose way lies code of ours or of the user, a step of a model, say, is raised as it is, and so is what
    torch says of a computation, unless it is that of an optimiser.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        operation, undetermined, _ = str(error).partition(" does not have a deterministic implementation")
        if undetermined:
            raise ConfigError(f"trainer.deterministic=true: {operation} cannot here; take warn, or false") from error
        if [*_modules(error.__traceback__)][-1].startswith("torch.optim."):
            raise explained(error, "optim", config.get("optim")) from error
        if not (isinstance(error, MisconfigurationException) or is_memory(error) or _is_of_others(error)):
            raise
        raise explained(error, "training", {section: config.get(section) for section in _USED}) from error


def _is_of_others(error: Exception) -> bool:
    """Whether only the code of others lies on the way to an error; ours may, to a ValueError of Lightning."""
    way = [*dropwhile("vqgen".__eq__, _packages(error.__traceback__))]  # below our call of the trainer
    if isinstance(error, ValueError) and way[-1:] == ["pytorch_lightning"]:
        return (_foreign() | {"vqgen"}).issuperset(way)
    return bool(way) and (isinstance(error, ValueError) or way[-1] != "torch") and _foreign().issuperset(way)


@contextmanager
def within_memory(advice: str) -> Iterator[None]:
    """Around what makes as much as the user asks for: raise ConfigError, with advice, where memory does not hold it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory(error):
            raise
        raise ConfigError(f"this does not fit into memory: {advice} ({SHOW}=1 shows where)") from error


def is_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, of the machine or of a GPU."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(re.search("can't allocate memory|out of memory", str(error)))
    )


def _packages(trace: TracebackType | None) -> Iterator[str]:
    """The top-level package of each frame, from the outermost."""
    return (name.partition(".")[0] for name in _modules(trace))


def _modules(trace: TracebackType | None) -> Iterator[str]:
    """The module of each frame, from the outermost."""
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next


def _foreign() -> set[str]:
    return OTHERS | sys.stdlib_module_names


def _named(reason: str, at: str, node: Plain) -> str:
    """`KEY=VALUE` of the option below `node` that the reason quotes, names or gives the value of first; else `at`."""
    leaves = [*_leaves(node, at)]
    names = {leaf: leaf[0].rpartition(".")[2] for leaf in leaves}
    by_name = [leaf for leaf in leaves if _place(reason, names[leaf]) >= 0]
    by_value = [leaf for leaf in leaves if _place(reason, leaf[1]) >= 0]
    quoted = [leaf for leaf in by_name if re.search(rf"[`(]{names[leaf]}\b", reason)]
    for found in (quoted, [leaf for leaf in by_name if leaf in by_value], by_name, by_value):
        places = [_place(reason, leaf[1] if found is by_value else names[leaf]) for leaf in found]
        if places.count(min(places, default=-1)) == 1:
            path, value = found[places.index(min(places))]
            section, _, key = path.rpartition(".")
            return f"{'hardware.' + key if section == 'trainer' and key in _HARDWARE else path}={value}"
    return at


def _leaves(node: Plain, at: str) -> Iterator[tuple[str, str]]:
    """Key path and value of every option below a node."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, _NO_KEYS.sub("", f"{at}.{key}"))
    elif not at.endswith("_"):  # _target_
        yield at, str(node)


def _place(text: str, word: str) -> int:
    """Where a text has a whole word; -1 where it has not."""
    found = re.search(rf"(?<![\w./-]){re.escape(word)}(?![\w/])", text) if word else None
    return found.start() if found else -1
