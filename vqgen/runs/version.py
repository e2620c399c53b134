"""Which code a run was made with."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def code_version() -> str:
    """The version of vqgen and, in a git checkout, its commit (`-dirty` with changes that are not committed)."""
    try:
        number = version("vqgen")
    except PackageNotFoundError:
        number = "unknown"
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return number
    return f"{number} {done.stdout.strip()}"
