"""Packages that only some choices need, which `pip install vqgen[NAME]` brings."""

from importlib.util import find_spec

from vqgen.errors import ConfigError


def require_extra(extra: str, asked: str) -> None:
    """Raise ConfigError, which says what to install, unless the package of that name is there.

    Args:
        extra: name of the extra, and of the package that is imported.
        asked: the words that ask for it, such as `logger=mlflow`.
    """
    found = find_spec(extra)
    if found is None or found.origin is None:  # of a mere folder of that name there is no file
        raise ConfigError(f"{asked} needs the package {extra}: pip install 'vqgen[{extra}]'")
