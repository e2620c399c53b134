"""Words that a user can copy from a message to the command line: quoted for the shell, and for Hydra in it."""

import re
import shlex
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"\.{0,2}[A-Za-z_/][\w./+@%-]*", re.ASCII)   # what Hydra takes as text as it stands, but for these:
_NO_TEXT = ("null", "true", "false", "nan", "inf")


def option(key: str, value: Any) -> str:
    """`KEY=VALUE` as a program gets it, so that Hydra reads this very text, whatever characters a path has.

    `runs/a=b` becomes `run="runs/a=b"`.
    """
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT:
        return f"{key}={text}"
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text)
    return f'{key}="{escaped}"'


def typed(key: str, value: Any) -> str:
    """`option`, as one types it in a shell."""
    return shlex.quote(option(key, value))


def command(program: str, *words: str, **paths: str | Path) -> str:
    """A command line of words and of a path for each key: `python sample.py task=report 'run="runs/a=b"'`."""
    return " ".join(["python", f"{program}.py", *words, *(typed(key, path) for key, path in paths.items())])
