"""The user's words: each is looked at before Hydra makes a run folder, so that a mistake leaves nothing behind."""

import re
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from vqgen.config.arguments import signature_at
from vqgen.config.resolvers import CONF
from vqgen.config.sweep import check_search, searched_by_config
from vqgen.errors import ConfigError, near_miss
from vqgen.plain import Plain

INFO_FLAGS = ("--help", "-h", "--hydra-help", "--info", "-i", "--shell-completion", "-sc", "--version")
_SHOW = ("--cfg", "-c")
_MODES = (("--multirun", "-m"), ("--run", "-r"), _SHOW)
_VALUE_FLAGS = (*_SHOW, "--package", "-p", "--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")


def preflight(config_name: str, words: list[str], check: Callable[[DictConfig], None]) -> None:
    """Check each override by itself, then the configuration that they make together."""
    if any(word in INFO_FLAGS for word in words):
        return
    _check_flags(words)
    overrides = parse(list(override_words(words)))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        _check_words(config_name, overrides)
        if swept := _of_sweeper(config_name, overrides):
            overrides = [*swept, *overrides]
            _check_words(config_name, overrides)
        for chosen in _alternatives(overrides):
            cfg = compose(config_name, chosen)
            if not _flags(words, _SHOW):
                check(cfg)


def _of_sweeper(config_name: str, overrides: list[Override]) -> list[Override]:
    """What the config has a sweep vary, as words, where Hydra's sweeper has the options that the words set."""
    hydras = [o for o in overrides if str(o.key_or_group).startswith("hydra.sweeper.")]
    if hydras:
        others = [o for o in overrides if o not in hydras]
        base = compose(config_name, first_values(others), return_hydra_config=True)
        for override in hydras:
            _check_key(override, base)
    cfg = compose(config_name, first_values(overrides), return_hydra_config=True)
    check_search(cfg)
    return parse(searched_by_config(cfg, overrides))


def _check_flags(words: list[str]) -> None:
    """A program runs once, runs often, or shows its configuration."""
    given = [flags[0] for mode in _MODES if (flags := _flags(words, mode))]
    if len(given) > 1:
        raise ConfigError(f"{' '.join(given)}: give only one of these")


def _flags(words: list[str], names: tuple[str, ...]) -> list[str]:
    """The words that are one of these flags, without their values."""
    return [flag for flag in (word.partition("=")[0] for word in words) if flag in names]


def _base(config_name: str, groups: list[Override]) -> DictConfig:
    """The configuration that choices make, before single values."""
    try:
        return compose(config_name, first_values(groups))
    except ConfigCompositionException:
        sections = [o for o in groups if "/" not in str(o.key_or_group)]
        for override in groups:
            section, _, part = str(override.key_or_group).rpartition("/")
            if section and not _composes(config_name, [*sections, override]):
                raise ConfigError(f"{override.input_line}: the chosen {section} has no {part} to choose") from None
        raise


def _composes(config_name: str, overrides: list[Override]) -> bool:
    try:
        compose(config_name, first_values(overrides))
    except ConfigCompositionException:
        return False
    return True


def at_home(word: str) -> str:
    """A word whose value begins with ~/ as the shell would have it, which expands none after a =."""
    try:
        return re.sub(r"^([^~=]+=[\"']?)~(?=/|$)", lambda found: found[1] + str(Path.home()), word)
    except RuntimeError:
        raise ConfigError(f"{word}: ~ stands for no folder here, as HOME is not set; give the whole path") from None


def override_words(words: list[str]) -> Iterator[str]:
    """The words that are neither a flag nor a flag's value."""
    rest = iter(words)
    for word in rest:
        if word in _VALUE_FLAGS:
            next(rest, None)
        elif not word.startswith("-"):
            yield word


def parse(words: list[str]) -> list[Override]:
    """Hydra's overrides of the words."""
    try:
        return OverridesParser.create().parse_overrides(words)
    except OverrideParseException as error:
        raise ConfigError(
            f"cannot read '{error.override}': an option is KEY=VALUE; quote values with special characters"
        ) from None


def is_group(override: Override) -> bool:
    """Whether it chooses from a group of ours; those of Hydra have choices from its plugins, too."""
    name = str(override.key_or_group)
    return not name.startswith("hydra") and (CONF / name).is_dir()


def check_choice(override: Override) -> None:
    """What is chosen from a group must be in it."""
    if override.is_delete():
        return
    folder = CONF / override.key_or_group
    options = sorted(p.stem for p in folder.glob("*.yaml"))
    for value in _choices(override):
        for name in value if isinstance(value, list) else [value]:
            if name not in options:
                word = "null" if name is None else str(name)
                raise ConfigError(f"{override.key_or_group}={word}: there is no such choice{near_miss(word, options)}")


def _check_words(config_name: str, overrides: list[Override]) -> None:
    """Check what is chosen from groups, then the options that are set; those of Hydra are its own."""
    groups = [o for o in overrides if is_group(o)]
    for override in groups:
        check_choice(override)
    base = _base(config_name, groups)
    for override in overrides:
        if override not in groups and not (override.key_or_group or "").startswith("hydra"):
            _check_key(override, base)


def _check_key(override: Override, base: DictConfig) -> None:
    """A key that is not added (`+`) must exist."""
    if override.is_add() or override.is_force_add():
        return
    path = str(override.key_or_group)
    walked = ""
    node: Plain = base
    for part in re.findall(r"[^.\[\]]+", path):
        if not OmegaConf.is_list(node) and not (OmegaConf.is_dict(node) and part in list(node.keys())):
            raise ConfigError(f"{override.input_line}: there is no option {path}{_closest(part, walked, node, base)}")
        walked = f"{walked}.{part}" if walked else part
        node = OmegaConf.select(base, walked, throw_on_resolution_failure=False)


def _closest(part: str, walked: str, node: Plain, base: DictConfig) -> str:
    """What to do: add an argument of the class that is made there, or take the nearest of the keys there are."""
    prefix = f"{walked}." if walked else ""
    beside = [f"{prefix}{key}" for key in node] if OmegaConf.is_dict(node) else []
    everywhere = [path for path in _paths(OmegaConf.to_container(base), "") if path.rpartition(".")[2] == part]
    if everywhere:
        return f" (did you mean {everywhere[0]}?)"
    for place, made in ((walked, node), *([] if walked else [("trainer", base.get("trainer"))])):
        if OmegaConf.is_dict(made) and part in _arguments(made.get("_target_")):
            return f"; {str(made.get('_target_')).rpartition('.')[2]} takes it: +{place}.{part}=VALUE adds it"
    return near_miss(f"{prefix}{part}", [k for k in beside if not k.rpartition(".")[2].startswith("_")])


def _arguments(target: Plain) -> Collection[str]:
    """Names of what the constructor of a class takes; none where there is no such class."""
    try:
        return signature_at("_target_", str(target)).parameters
    except ConfigError:
        return ()


def _paths(node: Plain, prefix: str) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _paths(value, f"{prefix}{key}.")


def _choices(override: Override) -> list[object]:
    """The values that one override stands for: one, or all those of a sweep (the ends, for a range without end)."""
    if not override.is_sweep_override():
        return [override.value()]
    if override.is_discrete_sweep():
        return list(islice(override.sweep_iterator(), 256))
    return []


def _alternatives(overrides: list[Override]) -> Iterator[list[str]]:
    """Override lists in which each swept value stands once, the other sweeps at their first value."""
    first = first_values(overrides)
    yield first
    for override in overrides:
        for line in _lines(override)[1:]:
            yield [o for o, source in zip(first, overrides, strict=True) if source is not override] + [line]


def first_values(overrides: list[Override]) -> list[str]:
    """Each override as typed, a sweep at its first value."""
    return [_lines(override)[0] for override in overrides]


def _lines(override: Override) -> list[str]:
    """The override as typed; of a sweep one with each of its values, of an interval with both ends."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if override.is_discrete_sweep():
        values = list(islice(override.sweep_string_iterator(), 256))
    else:
        interval: Plain = override.value()  # of a sweeper such as Optuna
        values = [interval.start, interval.end]
    return [f"{override.get_key_element()}={value}" for value in values]
