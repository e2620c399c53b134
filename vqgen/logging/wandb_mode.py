"""W&B's mode, and why it is not online: from the environment and from the client's files."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from vqgen.errors import ConfigError, first_line

_HERE = ("offline", "dryrun", "disabled")  # modes in which nothing is sent
_YES, _NO = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n", "")


class Mode(NamedTuple):
    """W&B's mode, and the reason where it is not `online`."""

    mode: str
    reason: str | None


def wandb_mode() -> Mode:
    """The mode of WANDB_MODE, WANDB_DISABLED or `wandb offline`, or else `online` where the client has credentials.

    Credentials are those of WANDB_API_KEY, of the netrc file (NETRC) and wherever else `wandb login` puts them, for the
    server of WANDB_BASE_URL or `wandb login --host`. Nothing is asked of the user or of the network.

    Raises:
        ConfigError: a variable of W&B has a value that is none.
    """
    import wandb

    settings = read_settings()
    if _is_true("WANDB_DISABLED"):
        return Mode("disabled", f"WANDB_DISABLED={os.environ['WANDB_DISABLED']}")
    if settings.mode in _HERE:
        return Mode(settings.mode, f"WANDB_MODE={settings.mode}" if "WANDB_MODE" in os.environ else "`wandb offline`")
    try:
        if wandb.login(prompt=False, verify=False):
            return Mode(settings.mode, None)
    except (wandb.errors.Error, RuntimeError, OSError) as error:
        return Mode("offline", f"its credentials cannot be used: {first_line(error)}")
    return Mode("offline", f"no credentials for {settings.base_url}: `wandb login` or WANDB_API_KEY has it sent")


def read_settings() -> Any:
    """W&B's settings, from the environment and its files.

    Raises:
        ConfigError: one of them has a value that is none.
    """
    import wandb

    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value]:
        del os.environ[name]  # empty means unset, as for other programs
    os.environ.setdefault("WANDB_SILENT", "true")  # before it is read
    _is_true("WANDB_DISABLED")
    settings = wandb.Settings()  # wandb.setup() has them, too, but starts W&B's service
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    try:
        settings.settings_system = str(folder.expanduser() / "settings")
        settings.update_from_system_settings()
        settings.update_from_env_vars(dict(os.environ))
        return settings
    except wandb.errors.Error as error:
        raise ConfigError(f"W&B: {_variable(first_line(error))}{first_line(error)}") from None
    except ValueError as error:  # pydantic's
        raise ConfigError(f"W&B: {_wrong_value(error)}") from None


def _wrong_value(error: ValueError) -> str:
    """The variable, the value and what was expected."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    name = variable if (variable := f"WANDB_{name.upper()}") in os.environ else name
    return f"{name}={first['input']}: {first['msg']}"


def _variable(message: str) -> str:
    """The variable that a message is about, `WANDB_API_KEY: ` for an API key; its value may be a secret."""
    names = [name for name in os.environ if name.startswith("WANDB_")]
    about = [name for name in names if name.removeprefix("WANDB_").replace("_", " ").lower() in message.lower()]
    return f"{max(about, key=len)}: " if about else ""


def _is_true(variable: str) -> bool:
    """Whether a variable says yes; ConfigError where it says neither yes nor no."""
    said = os.environ.get(variable, "").lower()
    if said not in _YES + _NO:
        raise ConfigError(f"W&B: {variable}={said}: take true or false")
    return said in _YES
