"""A home and a name for who has none, as in a container with a bare user number: libraries ask for both."""

import atexit
import getpass
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

_KEPT = (".netrc", ".config", ".cache")  # of credentials, settings and weights that were downloaded


def make_home() -> None:
    """Where there is no home, give this process and those that it starts an empty one, which goes with it again.

    W&B, matplotlib, torch.hub and others keep settings and caches in the user's home, under the user's name.
    """
    if not _has_home():
        os.environ["HOME"] = place = mkdtemp(prefix="vqgen-home-")
        atexit.register(_remove, place, os.getpid())
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13
        os.environ["USER"] = str(os.getuid())  # Windows knows every user's name


def _has_home() -> bool:
    """Whether one can write there, or at least has something there to read."""
    try:
        home = Path.home()
    except RuntimeError:
        return False
    return home.is_dir() and (os.access(home, os.W_OK) or any((home / name).exists() for name in _KEPT))


def _remove(place: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a process that was forked off
        shutil.rmtree(place, ignore_errors=True)
