"""What stands between the user's words and Hydra: errors in one line, and the text of --help.

Every override is looked at before Hydra makes a run folder, so that a typing mistake leaves nothing behind.
"""

import errno
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from vqgen.config import resumed
from vqgen.errors import ConfigError, Interrupted, InterruptedElsewhere, UserError, near_miss
from vqgen.help import help_text
from vqgen.leaderboard import UNFINISHED, failed, finish, finish_resumed, write_job
from vqgen.runs import begun_before, find_started, slurm_job

CONF = Path(__file__).resolve().parents[1] / "conf"
_VALUE_FLAGS = ("--cfg", "-c", "--package", "-p", "--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")
_STARTED = datetime.now()
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_INFO_FLAGS = ("--help", "-h", "--hydra-help", "--info", "-i", "--shell-completion", "-sc", "--version")


def command(config_name: str, check: Callable[[DictConfig], None]) -> Callable[[Callable], Callable]:
    """Make a task of a config into a Hydra program whose user's mistakes are one line and exit status 2."""

    def decorate(task: Callable) -> Callable:
        words = sys.argv[1:]
        going_on: DictConfig | None = None

        @functools.wraps(task)
        def told(cfg: DictConfig) -> Any:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return _job(task, check, cfg)
            sys.argv[1:] = words   # other processes of this run are started with them
            try:
                if going_on is not None:
                    objective = task(going_on)   # checked by run()
                    if _is_first():
                        finish_resumed(Path(going_on.run_dir), objective)
                    return objective
                check(cfg)
                return task(cfg)
            except UserError as error:
                _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))
                sys.exit(_fail(error))

        program = hydra.main(config_path=str(CONF), config_name=config_name, version_base="1.3")(told)

        @functools.wraps(task)
        def run() -> None:
            nonlocal going_on
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hydra hands its errors on to us
            try:
                sys.argv[1:] = words[:] = [_at_home(word) for word in words]
                words[:] = _requeued(config_name, words)
                going_on = _resumed(words)
                if going_on is None:
                    _preflight(config_name, words, check)
                else:
                    check(going_on)
                    sys.argv[1:] = _hydra_words(words)
                program()
                sys.exit(1 if failed else 0)
            except (Exception, KeyboardInterrupt) as error:
                sys.exit(_explained(error, *finish()))

        return run

    return decorate


def _job(task: Callable, check: Callable[[DictConfig], None], cfg: DictConfig) -> float | None:
    """One job of a sweep: what came of it is noted in its folder, and a failure leaves the other jobs alone."""
    job = HydraConfig.get()
    _make_single_job()
    folder, words = Path(job.runtime.output_dir), job.overrides.task
    write_job(folder, words, None, UNFINISHED)
    try:
        cfg = resumed(str(folder), {"trust": True}) if begun_before(folder) else cfg
        check(cfg)
        objective = task(cfg)
    except Interrupted as error:
        write_job(folder, words, None, str(error))
        finish()   # the user stops the whole sweep
        sys.exit(_fail(error))
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        _fail(error)
        write_job(folder, words, None, str(error).strip().splitlines()[0] if str(error) else type(error).__name__)
        return None
    write_job(folder, words, objective)
    return objective


def _make_single_job() -> None:
    """Make the command line that of this job: Lightning starts the processes of the other ranks with it."""
    job: Any = HydraConfig.get()
    sys.argv[1:] = [*job.overrides.task, "hydra.mode=RUN"]
    with read_write(job), open_dict(job):
        job.run.dir = job.runtime.output_dir


def _is_first() -> bool:
    """Whether this is the first process of a run, or the only one."""
    ranks = [os.environ[name] for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if name in os.environ]
    return not ranks or int(ranks[0]) == 0


def _remove_if_empty(folder: Path) -> None:
    """Leave no run folder of a run that never began."""
    for place in (folder, folder.parent):
        if place != Path.cwd() and not any(place.iterdir()):
            place.rmdir()


def _explained(error: BaseException, swept: bool, all_failed: bool) -> int:
    """Tell in a line what ended the program, for its exit status; a fault of its own is raised again."""
    if isinstance(error, KeyboardInterrupt):
        return _fail(Interrupted("by SIGINT before there was anything to save"))
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())   # whoever read it has read enough
        return 1
    if isinstance(error, OSError) and error.filename is not None:
        return _fail(UserError(f"'{error.filename}': {error.strerror}"))
    if isinstance(error, OSError) and error.errno in _FULL:
        return _fail(UserError(f"{error.strerror}: make room and go on with resume=RUN; what was saved is as it was"))
    if isinstance(error, ValueError) and all_failed and not isinstance(error, UserError):
        return 1   # a sweeper finds no best job: all of them failed, and said why
    told = isinstance(error, UserError | HydraException | OmegaConfBaseException)
    if isinstance(error, InstantiationException) or not (told or swept):
        raise error
    return _fail(error)   # of a sweep: a process of a job was killed, say


def _fail(error: BaseException) -> int:
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    line, kind, status = (error, error.kind, error.status) if isinstance(error, UserError) else (lines[0], "error", 2)
    if not isinstance(error, InterruptedElsewhere):
        print(f"{kind}: {line}", file=sys.stderr)
    return status


def _preflight(config_name: str, words: list[str], check: Callable[[DictConfig], None]) -> None:
    """Check each override by itself, then the configuration that they make together."""
    if any(word in _INFO_FLAGS for word in words):
        return
    overrides = _parse(list(_override_words(words)))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        groups = [o for o in overrides if _is_group(o)]
        for override in groups:
            _check_choice(override)
        base = _base(config_name, groups)
        for override in overrides:
            if override not in groups and not (override.key_or_group or "").startswith("hydra"):
                _check_key(override, base)
        for chosen in _alternatives(overrides):
            cfg = compose(config_name, chosen)
            if "--cfg" not in words and "-c" not in words:
                check(cfg)


def _base(config_name: str, groups: list[Override]) -> DictConfig:
    """The configuration that choices make, before single values."""
    try:
        return compose(config_name, _values(groups))
    except ConfigCompositionException:
        sections = [o for o in groups if "/" not in str(o.key_or_group)]
        for override in groups:
            section, _, part = str(override.key_or_group).rpartition("/")
            if section and not _composes(config_name, [*sections, override]):
                raise ConfigError(f"{override.input_line}: the chosen {section} has no {part} to choose") from None
        raise


def _composes(config_name: str, overrides: list[Override]) -> bool:
    try:
        compose(config_name, _values(overrides))
    except ConfigCompositionException:
        return False
    return True


def _resumed(words: list[str]) -> DictConfig | None:
    """The config of the run named by `resume=RUN`, changed by the other words; None where no run is named."""
    if not any(word.startswith("resume=") for word in words) or any(word in _INFO_FLAGS for word in words):
        return None
    overrides = {str(o.key_or_group): o for o in _parse(list(_override_words(words)))}
    hardware = _hardware(overrides.get("hardware"))
    if hardware:
        del overrides["hardware"]
    for name, override in overrides.items():
        if override.is_sweep_override() or override.is_add() or override.is_delete() or _is_group(override):
            raise ConfigError(
                f"{override.input_line}: a resumed run keeps its own config; single values can change, such as "
                "trainer.max_epochs=40, and hardware=NAME"
            )
        if name == "resume" and override.value() is None:
            return None
    changes = {k: o.value() for k, o in overrides.items() if k != "resume" and not k.startswith("hydra")}
    return resumed(str(overrides["resume"].value()), hardware | changes)


def _hardware(override: Override | None) -> dict[str, Any]:
    """The values of another machine, by their keys."""
    if override is None or override.is_sweep_override():
        return {}
    _check_choice(override)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        machine = compose("train", [str(override.input_line)]).hardware
    return {f"hardware.{key}": value for key, value in machine.items()}


def _at_home(word: str) -> str:
    """A word whose value begins with ~/ as the shell would have it, which expands none after a =."""
    return re.sub(r"^([^~=]+=[\"']?)~(?=/|$)", lambda found: found[1] + str(Path.home()), word)


def _requeued(config_name: str, words: list[str]) -> list[str]:
    """The words, or those that go on with the run that this SLURM job had begun before it was queued again."""
    if not slurm_job() or config_name != "train" or any(w.startswith(("resume=", "-")) for w in words):
        return words
    with initialize_config_dir(str(CONF), version_base="1.3"):
        folder = compose(config_name, words).run_dir
    return [f"resume={folder}", "trust=true"] if begun_before(Path(folder)) else words


def _hydra_words(words: list[str]) -> list[str]:
    """Without the changes of a resumed run, which name options that only its own config has."""
    overrides = set(_override_words(words))
    return [w for w in words if w not in overrides or w.startswith(("resume=", "hydra"))]


def _override_words(words: list[str]) -> Iterator[str]:
    """The words that are neither a flag nor a flag's value."""
    rest = iter(words)
    for word in rest:
        if word in _VALUE_FLAGS:
            next(rest, None)
        elif not word.startswith("-"):
            yield word


def _parse(words: list[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(words)
    except OverrideParseException as error:
        raise ConfigError(
            f"cannot read '{error.override}': an option is KEY=VALUE; quote values with special characters"
        ) from None


def _is_group(override: Override) -> bool:
    """Whether it chooses from a group of ours; those of Hydra have choices from its plugins, too."""
    name = str(override.key_or_group)
    return not name.startswith("hydra") and (CONF / name).is_dir()


def _check_choice(override: Override) -> None:
    if override.is_delete():
        return
    folder = CONF / override.key_or_group
    options = sorted(p.stem for p in folder.glob("*.yaml"))
    for value in _choices(override):
        for name in value if isinstance(value, list) else [value]:
            if name is not None and name not in options:
                raise ConfigError(
                    f"{override.key_or_group}={name}: there is no such choice{near_miss(str(name), options)}"
                )


def _check_key(override: Override, base: DictConfig) -> None:
    """A key that is not added (`+`) must exist."""
    if override.is_add() or override.is_force_add():
        return
    path = str(override.key_or_group)
    walked = ""
    node: Any = base
    for part in re.findall(r"[^.\[\]]+", path):
        if not OmegaConf.is_list(node) and not (OmegaConf.is_dict(node) and part in list(node.keys())):
            raise ConfigError(f"{override.input_line}: there is no option {path}{_closest(part, walked, node, base)}")
        walked = f"{walked}.{part}" if walked else part
        node = OmegaConf.select(base, walked, throw_on_resolution_failure=False)


def _closest(part: str, walked: str, node: Any, base: DictConfig) -> str:
    """Near miss among the keys beside it, or else among the last parts of all keys."""
    prefix = f"{walked}." if walked else ""
    beside = [f"{prefix}{key}" for key in node] if OmegaConf.is_dict(node) else []
    everywhere = [path for path in _paths(OmegaConf.to_container(base), "") if path.rpartition(".")[2] == part]
    if everywhere:
        return f" (did you mean {everywhere[0]}?)"
    return near_miss(f"{prefix}{part}", [k for k in beside if not k.rpartition(".")[2].startswith("_")])


def _paths(node: Any, prefix: str) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from _paths(value, f"{prefix}{key}.")


def _choices(override: Override) -> list[Any]:
    """The values that one override stands for: one, or all those of a sweep (the ends, for a range without end)."""
    if not override.is_sweep_override():
        return [override.value()]
    if override.is_discrete_sweep():
        return list(islice(override.sweep_iterator(), 256))
    return []


def _alternatives(overrides: list[Override]) -> Iterator[list[str]]:
    """Override lists in which each swept value stands once, the other sweeps at their first value."""
    first = _values(overrides)
    yield first
    for override in overrides:
        if override.is_discrete_sweep():
            for line in islice(override.sweep_string_iterator(), 1, 256):
                yield [o for o, source in zip(first, overrides, strict=True) if source is not override] + [
                    f"{override.get_key_element()}={line}"
                ]


def _values(overrides: list[Override]) -> list[str]:
    """Each override as typed, a sweep at its first value."""
    lines = []
    for override in overrides:
        if override.is_discrete_sweep():
            first = next(iter(override.sweep_string_iterator()))
            lines.append(f"{override.get_key_element()}={first}")
        elif not override.is_sweep_override():
            lines.append(override.input_line or "")
        else:
            interval: Any = override.value()  # of a sweeper such as Optuna
            lines.append(f"{override.get_key_element()}={interval.start}")
    return lines


def _run_folder(resume: str | None) -> str:
    """The folder of the run to go on with, or a new one: named after the job under SLURM, otherwise after the time."""
    if resume:
        return str(find_started(resume))
    if job := slurm_job():   # the processes of a job agree, and a job that is queued again finds its run
        return f"runs/slurm_{job}"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ConfigError("run_dir=FOLDER is needed where torchrun starts the processes: all must agree on it")
    return f"runs/{_STARTED:%Y-%m-%d_%H-%M-%S}"


def _sweep_name() -> str | None:
    """The folder name of the sweep that this job belongs to, if any."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


OmegaConf.register_new_resolver("help", lambda name: help_text(CONF, name).replace("$", "$$"), replace=True)
OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
