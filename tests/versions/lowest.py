"""The lowest versions that pyproject.toml allows, for pip: python -m tests.versions.lowest [NAME==VERSION].

A version that is given stands in the place of the lowest: torch==2.13.0, where only that one has a build without CUDA.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lowest() -> dict[str, str]:
    """The lowest version of each dependency by its name."""
    lines = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+).*", line).groups() for line in lines)  # type: ignore[union-attr]


if __name__ == "__main__":
    given = dict(word.split("==") for word in sys.argv[1:])
    print("\n".join(f"{name}=={version}" for name, version in (lowest() | given).items()))
