"""Where a run goes, and the config of one that goes on: as it was composed, changed by the user's words."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vqgen.config.overrides import check_choice, first_values
from vqgen.config.search_path import SearchPath
from vqgen.config.words import ASKS, has, overrides_of, parse, value_of
from vqgen.environment.launcher import slurm_job, started_by_first, started_by_sweep
from vqgen.errors import ConfigError, near_miss, option
from vqgen.plain import PlainDict
from vqgen.runs import slurm
from vqgen.runs.allow_list import refuse_foreign_names
from vqgen.runs.confine import allow
from vqgen.runs.folders import COMPOSED, find_started, numbered
from vqgen.runs.old_names import with_current_names
from vqgen.sweeps.search import search_begun

FOLDERS = ("data_dir", "data.root", "data.cache")  # that data may be written to


def resumed(run: str, changes: PlainDict) -> DictConfig:
    """The config of a run that is to go on, as it was composed, with some of its values changed.

    Args:
        run: run folder, or a checkpoint file in one.
        changes: new values by dotted key; folders among them may be written to. `trust` and `data_changed` are never
            the file's word.

    Raises:
        ConfigError: the run is not there, or has no such key.
    """
    folder = find_started(run)
    file = folder / COMPOSED
    if not file.exists():
        raise ConfigError(f"resume={run}: '{folder}' has no {COMPOSED}, the config that a run is resumed from")
    config = _loaded(file)
    plain = with_current_names(OmegaConf.to_container(config))
    refuse_foreign_names(plain, file)
    config = DictConfig(plain)
    config.trust = config.data_changed = False
    for key, value in changes.items():
        if key == "run_dir":
            raise ConfigError(f"run_dir={value}: a resumed run stays in its folder; leave run_dir out")
        parent, _, name = key.rpartition(".")
        beside = OmegaConf.select(config, parent) if parent else config
        if not OmegaConf.is_dict(beside) or name not in beside:
            keys = [f"{parent}.{k!s}".lstrip(".") for k in beside] if OmegaConf.is_dict(beside) else list(config)
            raise ConfigError(f"{key}={value}: the run has no such option{near_miss(key, map(str, keys))}")
        OmegaConf.update(config, key, value, merge=False)
        if key in FOLDERS:
            allow(Path(str(value)))
    config.resume, config.run_dir = run, str(folder)
    return config


def _loaded(file: Path) -> DictConfig:
    """The config in a file: plain YAML, without tags that make objects."""
    try:
        config = OmegaConf.load(file)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        reason = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(f"'{file}' cannot be read as the config of a run: {reason}") from None
    if not isinstance(config, DictConfig):
        raise ConfigError(f"'{file}' cannot be read as the config of a run: it has no names")
    return config


def going_on(words: list[str]) -> DictConfig | None:
    """The config of the run named by `resume=RUN`, changed by the other words; None where no run is named.

    It is composed of nothing but what the run has written: of the search path only hardware=NAME is taken.
    """
    if not any(word.startswith("resume=") for word in words) or has(words, *ASKS):
        return None
    search_path, overrides = SearchPath("train", words), {str(o.key_or_group): o for o in parse(overrides_of(words))}
    _refuse_elsewhere(words, overrides)
    hardware = _hardware(overrides.get("hardware"), search_path)
    if hardware:
        del overrides["hardware"]
    for name, override in overrides.items():
        if override.is_sweep_override() or override.is_add() or override.is_delete() or search_path.is_group(name):
            raise ConfigError(
                f"{override.input_line}: a resumed run keeps its own config; single values can change, such as "
                "trainer.max_epochs=40, and hardware=NAME"
            )
        if name == "resume" and override.value() is None:
            return None
    changes = {k: o.value() for k, o in overrides.items() if k != "resume" and not k.startswith("hydra")}
    return resumed(str(overrides["resume"].value()), hardware | changes)


def shown(config: DictConfig, words: list[str]) -> str:
    """The config of a run that would go on, for --cfg=job; what Hydra would show is that of a new run."""
    if not has(words, "--cfg") or value_of(words, "--cfg") != "job" or has(words, "--package"):
        flags = " ".join(word for word in words if word.startswith("--"))
        raise ConfigError(f"{flags}: beside resume=RUN there is --cfg=job alone, which shows the config of the run")
    return OmegaConf.to_yaml(config, resolve=has(words, "--resolve")).rstrip()


def _hardware(override: Override | None, search_path: SearchPath) -> PlainDict:
    """The values of another machine, by their keys."""
    if override is None or override.is_sweep_override():
        return {}
    with search_path.opened():
        check_choice(override, search_path)
        machine = search_path.compose([str(override.input_line)]).hardware
    return {f"hardware.{key}": value for key, value in machine.items()}


def _refuse_elsewhere(words: list[str], overrides: Mapping[str, Override]) -> None:
    """A run goes on by itself and in its own folder, whatever Hydra is told."""
    resume = overrides["resume"].value()
    mode = overrides.get("hydra.mode")
    if has(words, "--multirun") or (mode and str(mode.value()).upper() == "MULTIRUN"):
        raise ConfigError(f"resume={resume}: one run goes on at a time; leave -m out")
    place = overrides.get("hydra.run.dir")
    if resume and place and Path(str(place.value())).resolve() != find_started(str(resume)).resolve():
        raise ConfigError(f"hydra.run.dir={place.value()}: a resumed run stays in its folder; leave hydra.run.dir out")


class Placement(NamedTuple):
    """The words of a training with its folder, and that folder where it was made or taken now."""

    words: list[str]
    folder: Path | None


def placed(words: list[str]) -> Placement:
    """The ordered words of a training with its folder, made now; or those that go on with it.

    The folder is added where the user has named none, with a number where its name is taken. A command of a SLURM job
    that was queued again goes on with what it began.

    Raises:
        UserError: the folder is in use; or run_dir is given where several jobs need several.
    """
    if has(words, *ASKS, "--cfg", "--info") or started_by_first() or started_by_sweep():  # which has settled all
        return Placement(words, None)
    with SearchPath("train", words).opened() as search_path:
        cfg = search_path.compose(first_values(parse(overrides_of(words))), with_hydra=True)
        chosen = _choices(cfg)
        swept = has(words, "--multirun") or str(cfg.hydra.mode).endswith("MULTIRUN")
        if swept and "run_dir" in chosen:
            raise ConfigError(
                f"run_dir={cfg.run_dir}: the jobs of a sweep have folders of their own; take hydra.sweep.dir=FOLDER"
            )
        named = "hydra.sweep.dir" in chosen if swept else bool({"run_dir", "hydra.run.dir"} & chosen)
        folder = Path(cfg.hydra.sweep.dir if swept else cfg.hydra.run.dir)
    if begun := search_begun(cfg, named) if swept else None:
        folder = begun
    elif slurm_job():
        folder, goes_on = slurm.job_folder(folder, named, words)
        if goes_on and not swept:
            return Placement([option("resume", folder), "trust=true"], folder)
    elif not named:
        folder = numbered(folder)
    if swept and not has(words, "--multirun"):
        words = [*words, "hydra.mode=MULTIRUN"]  # Hydra 1.4 heeds that of the root config and of the words alone
    if named:
        return Placement(words, None)
    return Placement([*words, option("hydra.sweep.dir" if swept else "run_dir", folder)], folder)


def _choices(cfg: DictConfig) -> set[str]:
    """Which of the folders are the user's choice."""
    ours = {"run_dir": "${run_folder:", "hydra.run.dir": "${run_dir}", "hydra.sweep.dir": "${sweep_folder:"}
    raw = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(raw, dict)
    given = {
        "run_dir": raw["run_dir"],
        "hydra.run.dir": raw["hydra"]["run"]["dir"],
        "hydra.sweep.dir": raw["hydra"]["sweep"]["dir"],
    }
    return {key for key, value in given.items() if not str(value).startswith(ours[key])}


def hydra_words(words: list[str]) -> list[str]:
    """Without the changes of a resumed run, which name options that only its own config has."""
    return [w for w in words if w.startswith(("--", "resume=", "hydra"))]
