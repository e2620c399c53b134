"""The user's words: each is looked at before Hydra makes a run folder, so that a mistake leaves nothing behind."""

import re
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, open_dict

from vqgen.config.arguments import signature_at
from vqgen.config.search_path import NOT_GLOBAL, SearchPath, plugin_hint
from vqgen.config.sweep import check_search, searched_by_config
from vqgen.config.words import ASKS, has, overrides_of, parse, value_of
from vqgen.errors import ConfigError, near_miss
from vqgen.plain import Plain


def preflight(search_path: SearchPath, words: list[str], check: Callable[[DictConfig], None]) -> None:
    """Check each override by itself, then the configuration that they make together."""
    if has(words, *ASKS):
        return
    overrides = parse(overrides_of(words))
    with search_path.opened():
        _check_words(search_path, overrides)
        if swept := _of_sweeper(search_path, overrides):
            overrides = [*swept, *overrides]
            _check_words(search_path, overrides)
        for chosen in _alternatives(overrides):
            cfg = search_path.compose(chosen, with_hydra=True)
            _check_package(value_of(words, "--package"), cfg)
            hydra = _without_hydra(cfg)
            _check_hydra(hydra, search_path.program)
            _check_plugins(hydra)
            for name in {"experiment", "sweep", "extras"} & cfg.keys():
                raise ConfigError(f"{name}=NAME: {NOT_GLOBAL}")
            if not has(words, "--cfg", "--info"):
                check(cfg)


def _check_words(search_path: SearchPath, overrides: list[Override]) -> None:
    """Check what is chosen from groups, then the options that are set."""
    groups = [o for o in overrides if search_path.is_group(str(o.key_or_group))]
    for override in groups:
        check_choice(override, search_path)
    base = _base(search_path, groups)
    hydra = _without_hydra(base)
    for override in overrides:
        if override not in groups:
            of_hydra = str(override.key_or_group).startswith("hydra.")
            _check_key(override, DictConfig({"hydra": hydra}) if of_hydra else base)


def _of_sweeper(search_path: SearchPath, overrides: list[Override]) -> list[Override]:
    """What the config has a sweep vary, as words."""
    cfg = search_path.compose(first_values(overrides), with_hydra=True)
    check_search(cfg)
    return parse(searched_by_config(cfg, overrides))


def _without_hydra(cfg: DictConfig) -> DictConfig:
    """What Hydra itself is told, which is then gone from the config."""
    with open_dict(cfg):
        return cfg.pop("hydra")


def _check_hydra(hydra: DictConfig, program: str) -> None:
    """Raise ConfigError where Hydra is told to do what a program cannot go along with."""
    if hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: paths are those of the folder where the command is typed, and a run does not leave "
            "it; run_dir=FOLDER says where the run goes"
        )
    if program == "sample" and hydra.run.dir != ".":
        raise ConfigError(f"hydra.run.dir={hydra.run.dir}: out=FOLDER says where the results go")


def _check_plugins(hydra: DictConfig) -> None:
    """Launcher and sweeper must be installed; the config of one may be there without."""
    for kind in ("launcher", "sweeper"):
        target, group = str(hydra[kind].get("_target_")), f"hydra/{kind}"
        if target not in Plugins.instance().class_name_to_class:
            name = str(hydra.runtime.choices[group])
            raise ConfigError(
                f"{group}={name}: Hydra has no plugin {target}{plugin_hint(group, name) or '; is it installed?'}"
            )


def _check_package(package: str | None, cfg: DictConfig) -> None:
    """What --package shows must be there."""
    if package not in (None, "_global_") and OmegaConf.select(cfg, str(package)) is None:
        raise ConfigError(
            f"--package={package}: the config has no such section{near_miss(str(package), map(str, cfg))}"
        )


def _base(search_path: SearchPath, groups: list[Override]) -> DictConfig:
    """The configuration that choices make, before single values."""
    try:
        return search_path.compose(first_values(groups), with_hydra=True)
    except ConfigCompositionException:
        sections = [o for o in groups if "/" not in str(o.key_or_group)]
        for override in groups:
            section, _, part = str(override.key_or_group).rpartition("/")
            if section and not _composes(search_path, [*sections, override]):
                raise ConfigError(f"{override.input_line}: the chosen {section} has no {part} to choose") from None
        raise


def _composes(search_path: SearchPath, overrides: list[Override]) -> bool:
    try:
        search_path.compose(first_values(overrides))
    except ConfigCompositionException:
        return False
    return True


def at_home(word: str) -> str:
    """A word whose value begins with ~/ as the shell would have it, which expands none after a =."""
    try:
        return re.sub(r"^([^~=]+=[\"']?)~(?=/|$)", lambda found: found[1] + str(Path.home()), word)
    except RuntimeError:
        raise ConfigError(f"{word}: ~ stands for no folder here, as HOME is not set; give the whole path") from None


def check_choice(override: Override, search_path: SearchPath) -> None:
    """What is chosen from a group must be in it."""
    if override.is_delete():
        return
    for value in _choices(override):
        for name in value if isinstance(value, list) else [value]:
            _check_name(str(override.key_or_group), "null" if name is None else str(name), search_path)


def _check_name(group: str, name: str, search_path: SearchPath) -> None:
    """`name` may lie deeper in its group, as `mine/first`."""
    inside, slash, leaf = name.rpartition("/")
    options = search_path.choices(f"{group}/{inside}" if slash else group)
    if leaf.removesuffix(".yaml") not in options:
        hint = search_path.hint(group, name)
        raise ConfigError(f"{group}={name}: there is no such choice{hint or near_miss(leaf, options)}")


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
