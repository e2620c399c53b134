"""The words of a command line: the flags of Hydra, which there are and what they take, and the overrides."""

import os
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from vqgen.errors import ConfigError, near_miss

ASKS = ("--help", "--hydra-help", "--version", "--shell-completion")  # which are answered, whatever else is typed
_TAKEN: dict[str, tuple[str, ...] | None] = {  # values of a flag; () where it takes none, None where it takes any
    "--help": (),
    "--hydra-help": (),
    "--version": (),
    "--shell-completion": (),
    "--run": (),
    "--multirun": (),
    "--resolve": (),
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--package": None,
    "--config-dir": None,
    "--config-name": None,
}
_SHORT = {
    "-h": "--help",
    "-sc": "--shell-completion",
    "-r": "--run",
    "-m": "--multirun",
    "-c": "--cfg",
    "-i": "--info",
    "-p": "--package",
    "-cd": "--config-dir",
    "-cn": "--config-name",
    "-cp": "--config-path",
}
_REFUSED = {
    "--config-path": "this would leave out the configs of vqgen; --config-dir=FOLDER adds yours to them",
    "--experimental-rerun": "a run goes on by resume=RUN, and is made again from its config.yaml",
}
_MODES = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")


def ordered(words: Sequence[str]) -> list[str]:
    """The words with the flags first, each in its long form and with its value after a `=`.

    `["seed=1", "-c", "job"]` becomes `["--cfg=job", "seed=1"]`: Hydra wants its overrides in one row, and everything
    here may take what begins with two dashes for a flag and the rest for overrides.

    Raises:
        ConfigError: a flag that there is not, without its value, or beside another that excludes it.
    """
    flags: dict[str, str] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            rest.append(word)
            continue
        name, equals, value = word.partition("=")
        flag = _SHORT.get(name, name)
        if flag in _REFUSED:
            raise ConfigError(f"{word}: {_REFUSED[flag]}")
        if flag not in _TAKEN:
            raise ConfigError(f"{word}: there is no such flag{near_miss(name, _TAKEN)}")
        if not value:
            value = _following(flag, [] if equals else left)
        made = f"{flag}={value}" if value else flag
        if flags.setdefault(flag, made) != made:
            raise ConfigError(f"{flags[flag]} {made}: give only one of these")
    _check_together(flags)
    return [*flags.values(), *rest]


def completed(words: list[str]) -> list[str]:
    """The words; those of a question for tab completion with the flags of the line that is to be completed.

    The shell asks by `-sc query=bash`, without the flags that say where configs are.
    """
    if not {"-sc", "--shell-completion"} & set(words):
        return words
    line = os.environ.get("COMP_LINE", "").split(" ")[:-1]  # the last word is the one that is to be completed
    for word, following in zip(line, [*line[1:], ""], strict=False):
        flag, equals, value = word.partition("=")
        flag, value = _SHORT.get(flag, flag), value if equals else following
        if flag == "--config-name" or (flag == "--config-dir" and Path(value).is_dir()):
            words = [*words, f"{flag}={value}"]
    return words


def value_of(words: Sequence[str], flag: str) -> str | None:
    """The value that a flag has among ordered words; None where it is not there."""
    return next((word.partition("=")[2] for word in words if word.startswith(f"{flag}=")), None)


def has(words: Sequence[str], *flags: str) -> bool:
    """Whether one of these flags is among ordered words."""
    return any(word.partition("=")[0] in flags for word in words)


def overrides_of(words: Sequence[str]) -> list[str]:
    """The ordered words that are no flags."""
    return [word for word in words if not word.startswith("--")]


def parse(words: Sequence[str]) -> list[Override]:
    """Hydra's overrides of words that are no flags."""
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except OverrideParseException as error:
        raise ConfigError(
            f"cannot read '{error.override}': an option is KEY=VALUE; quote values with special characters"
        ) from None


def _following(flag: str, left: list[str]) -> str:
    """The value of a flag that stands in the next word, which is then taken; of `--info`, all where none stands there.

    Raises:
        ConfigError: there is none.
    """
    taken = _TAKEN[flag]
    if taken == ():
        return ""
    if left and not left[0].startswith("-") and (taken is None or not {"=", "~"} & set(left[0])):
        return left.pop(0)
    if flag == "--info":
        return "all"
    raise ConfigError(f"{flag}=VALUE is needed{near_miss('', taken or ())}")


def _check_together(flags: dict[str, str]) -> None:
    """A flag has one of its values, a program does one thing, and some flags say how."""
    for flag, made in flags.items():
        value, taken = made.partition("=")[2], _TAKEN[flag]
        if taken == () and value:
            raise ConfigError(f"{made}: {flag} takes no value")
        if taken and value not in taken:
            raise ConfigError(f"{made}: there is no such choice{near_miss(value, taken)}")
    modes = [flag for flag in _MODES if flag in flags]
    if len(modes) > 1:
        raise ConfigError(f"{' '.join(modes)}: give only one of these")
    for flag in ("--resolve", "--package"):
        if flag in flags and "--cfg" not in flags:
            raise ConfigError(f"{flags[flag]}: only beside --cfg, as in --cfg=job")
