"""The exceptions that reach the user as one line of text instead of a traceback."""

import difflib
import errno
from collections.abc import Iterable

SHOW = "VQGEN_TRACEBACK"   # variable of the environment: with it, errors told in a line show their traceback as well
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """A mistake the user can mend; its message names what is wrong and what to do, in one line."""

    kind = "error"   # first word of the line
    status = 2   # exit status of the program


class ConfigError(UserError):
    """A key or a value of the configuration that does not fit."""


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or that is not to be trusted."""


class Taken(UserError):
    """A folder that belongs to another process, run or sweep."""


class DataError(UserError):
    """Missing, unreadable or unsuitable data; the message says where and what would do."""


class Interrupted(UserError):
    """The run was asked to stop, and stands saved in its last checkpoint."""

    kind = "stopped"
    status = 143   # as a program that SIGTERM ends


class InterruptedElsewhere(Interrupted):
    """As `Interrupted`, in a process that leaves the telling to the first of several."""

    status = 0   # of processes that the first one has started, any other would be taken for a crash


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


def near_miss(word: str, candidates: Iterable[str]) -> str:
    """` (did you mean X?)` for the candidate closest to `word`, or the list of candidates if none is close."""
    candidates = sorted(map(str, candidates))
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (there are: {', '.join(candidates)})" if candidates else ""
