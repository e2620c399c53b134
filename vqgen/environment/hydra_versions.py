"""Hydra 1.3 and 1.4: what the newer one calls by another name, or asks for. Without torch, as all that reads words."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import hydra.utils
from omegaconf import OmegaConf

_WHITELIST = getattr(hydra.utils, "execution_whitelist", None)  # of Hydra 1.4
VERSION_BASE = {} if _WHITELIST else {"version_base": "1.3"}
"""Argument of `hydra.main` and `initialize_config_dir`: 1.3 asks for it, 1.4 is to be given none."""


def allowing(names: Iterable[str]) -> AbstractContextManager[object]:
    """Within this, Hydra builds from a config what has these names, and nothing else; Hydra 1.3 knows no such list.

    Args:
        names: full names, or `package.*` for all that is defined in a package. A list within another adds to it.
    """
    return _WHITELIST([*names]) if _WHITELIST else nullcontext()


def register(name: str, resolver: Callable[..., object]) -> None:
    """Have `${name:...}` stand for what a function returns, in every config."""
    ours = "register_resolver" if _WHITELIST else "register_new_resolver"  # the other one is there, too, and old
    getattr(OmegaConf, ours)(name, resolver, replace=True)
