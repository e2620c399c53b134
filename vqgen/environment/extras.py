"""Packages that only some choices need, which `pip install vqgen[NAME]` brings."""

from importlib.util import find_spec

from vqgen.errors import ConfigError


def require_extra(extra: str, asked: str, package: str = "") -> None:
    """Raise ConfigError, which says what to install, unless the package of that name is there.

    Args:
        extra: name of the extra.
        asked: the words that ask for it, such as `logger=mlflow`.
        package: what is imported; left out, it is called as the extra.
    """
    package = package or extra
    found = find_spec(package)
    if found is None or found.origin is None:  # of a mere folder of that name there is no file
        raise ConfigError(f"{asked} needs the package {package}: pip install 'vqgen[{extra}]'")
