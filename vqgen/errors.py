"""The exceptions that reach the user as one line of text instead of a traceback, and the words of such a line."""

import difflib
import errno
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

SHOW = "VQGEN_TRACEBACK"  # variable of the environment: with it, errors told in a line show their traceback as well
TYPED = "VQGEN_COMMAND"  # variable of the environment, for the processes that one starts: how its program was called
INSTALLED, CHECKOUT = "vqgen-{}", "python {}.py"
_DEFAULT = INSTALLED if Path(__file__).with_name("conf").is_dir() else CHECKOUT  # where no program was called
_PLAIN = re.compile(r"(hf://|\.{0,2})[A-Za-z_/][\w./+@%-]*", re.ASCII)  # what Hydra takes as text, but for these:
_NO_TEXT = ("null", "true", "false", "nan", "inf")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """A mistake the user can mend; its message names what is wrong and what to do, in one line."""

    kind = "error"  # first word of the line
    status = 2  # exit status of the program


class ConfigError(UserError):
    """A key or a value of the configuration that does not fit."""


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or that is not to be trusted."""


class FolderError(UserError):
    """A folder that belongs to another process, run or sweep."""


class DataError(UserError):
    """Missing, unreadable or unsuitable data; the message says where and what would do."""


class Pruned(UserError):
    """A trial of a search that was ended before its last epoch, as others were better by then.

    Args:
        message: after how many epochs.
        objective: the best value until then.
    """

    kind = "pruned"

    def __init__(self, message: str, objective: float | None) -> None:
        super().__init__(message)
        self.objective = objective


class Interruption(UserError):
    """The run was asked to stop, and stands saved in its last checkpoint."""

    kind = "stopped"
    status = 143  # as a program that SIGTERM ends


class QuietInterruption(Interruption):
    """As `Interruption`, in a process that leaves the telling to the first of several."""

    status = 0  # of processes that the first one has started, any other would be taken for a crash


def of_the_system(error: BaseException | None) -> OSError | None:
    """What the operating system said: the error itself, or the one that it came of."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__cause__ or error.__context__
    return None


def is_full(error: BaseException) -> bool:
    """Whether something could not be written because the disk, or the user's part of it, is full."""
    said = of_the_system(error)
    return said is not None and said.errno in _FULL


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def listed(names: Iterable[str], most: int = 4, between: str = ", ") -> str:
    """The first of some names, and how many more there are: `a, b and 7 more`."""
    first = list(names)
    return between.join(first[:most]) + (f" and {len(first) - most} more" if len(first) > most else "")


def format_number(value: float) -> str:
    """Four significant digits, and from 1,000 on whole numbers: 0.01235, 12.35, 12,346."""
    return f"{value:.4g}" if value and abs(value) < 1000 else f"{value:,.0f}"


def near_miss(word: str, candidates: Iterable[str]) -> str:
    """` (did you mean X?)` for the candidate closest to `word`, or the list of candidates if none is close."""
    candidates = sorted(map(str, candidates))
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (there are: {', '.join(candidates)})" if candidates else ""


def option(key: str, value: object) -> str:
    """`KEY=VALUE` as a program gets it, so that Hydra reads this very text, whatever characters a path has.

    `runs/a=b` becomes `run="runs/a=b"`.
    """
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT:
        return f"{key}={text}"
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text)
    return f'{key}="{escaped}"'


def typed(key: str, value: object) -> str:
    """`option`, as one types it in a shell."""
    return shlex.quote(option(key, value))


def command(program: str, *words: str, **paths: str | Path) -> str:
    """A command line of words and of a path for each key: `python sample.py task=report 'run="runs/a=b"'`.

    It begins as the one that the user has typed: with `vqgen-sample` where that is installed and was called so.
    """
    called = os.environ.get(TYPED, _DEFAULT).format(program)
    return " ".join([called, *words, *(typed(key, path) for key, path in paths.items())])
