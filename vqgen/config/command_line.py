"""The two programs, around Hydra: what goes wrong is told in one line, and a job of a sweep leaves the others alone."""

import functools
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from vqgen.config.help import help_text
from vqgen.config.home import make_home
from vqgen.config.overrides import at_home, preflight
from vqgen.config.resolvers import note_typed
from vqgen.config.resume import going_on, hydra_words, placed, resumed, shown
from vqgen.config.search_path import CONF, SearchPath, with_own_folder
from vqgen.config.words import completed, has, ordered, overrides_of
from vqgen.environment.hydra_versions import VERSION_BASE, allowing
from vqgen.environment.launcher import is_first, of_trial
from vqgen.environment.memory import keep_memory
from vqgen.environment.threads import wait_briefly
from vqgen.errors import (
    CHECKOUT,
    INSTALLED,
    SHOW,
    TYPED,
    ConfigError,
    FolderError,
    Interruption,
    Pruned,
    QuietInterruption,
    UserError,
    is_full,
    option,
)
from vqgen.runs.allow_list import PROGRAM, find_own_packages, may_be_built
from vqgen.runs.claim import claimed, let_go
from vqgen.runs.folders import COMPOSED, require_free
from vqgen.runs.leaderboard import UNFINISHED, failed, finish, finish_resumed, job_before, write_job
from vqgen.runs.slurm import RECORD
from vqgen.sweeps import register
from vqgen.sweeps.search import trial_of


def command(name: str, check: Callable[[DictConfig], None]) -> Callable[[Callable], Callable]:
    """Make a task of a config into a Hydra program whose user's mistakes are one line and exit status 2."""

    def decorate(task: Callable) -> Callable:
        words: list[str] = []
        resuming: DictConfig | None = None

        @functools.wraps(task)
        def told(cfg: DictConfig) -> object:
            find_own_packages()  # a launcher may have begun this process
            keep_memory()
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return _job(task, check, cfg, words)
            sys.argv[1:] = words  # other processes of this run are started with them
            folder, owns = Path(HydraConfig.get().runtime.output_dir), name == "train" and is_first()
            try:
                with claimed(folder) if owns else nullcontext():
                    if resuming is not None:
                        objective = task(resuming)  # checked by run()
                        if owns:
                            finish_resumed(Path(resuming.run_dir), objective)
                        return objective
                    check(cfg)
                    if owns:
                        require_free(folder)
                    return task(cfg)
            except (UserError, OSError) as error:
                _remove_if_empty(folder)
                if (mistake := _mistake(error)) is None:
                    raise
                sys.exit(_fail(mistake))

        program = hydra.main(config_path=str(CONF), config_name=name, **VERSION_BASE)(told)

        @functools.wraps(task)
        def run() -> None:
            nonlocal resuming
            made: Path | None = None  # for this start
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hydra hands its errors on to us
            wait_briefly()
            try:
                os.environ[TYPED] = INSTALLED if Path(sys.argv[0]).stem == f"vqgen-{name}" else CHECKOUT
                find_own_packages()
                words[:] = with_own_folder(ordered([at_home(word) for word in completed(sys.argv[1:])]))
                search_path = SearchPath(name, words)
                if has(words, "--help"):
                    print(_help(search_path, words))
                    return
                make_home()
                register()
                resuming = going_on(words) if name == "train" else None
                if resuming is None:
                    preflight(search_path, words, check)
                    if name == "train":
                        words[:], made = placed(words)
                        resuming = going_on(words)
                elif has(words, "--cfg", "--info"):
                    print(shown(resuming, words))
                    return
                sys.argv[1:] = words
                note_typed(words, resuming is not None)
                if resuming is not None:
                    check(resuming)
                    sys.argv[1:] = hydra_words(words)
                with allowing([*PROGRAM, *may_be_built()]):
                    program()
                sys.exit(1 if failed else 0)
            except (Exception, KeyboardInterrupt) as error:
                sys.exit(_explained(error, *finish(show=not isinstance(error, ConfigError | FolderError))))
            finally:
                finish(show=False)  # where a job in another process has ended the sweep
                if made:
                    let_go(made)
                    _remove_if_empty(made)

        return run

    return decorate


def _help(search_path: SearchPath, words: list[str]) -> str:
    """The text of --help, of the groups that are named beside it or of all."""
    groups = [word for word in overrides_of(words) if "=" not in word]
    return help_text(search_path.folders, search_path.root, search_path.program, groups)


def _job(task: Callable, check: Callable[[DictConfig], None], cfg: DictConfig, typed: list[str]) -> float | None:
    """One job of a sweep: what came of it is noted in its folder, and a failure leaves the other jobs alone.

    Args:
        task: what it does.
        check: of its config.
        cfg: its config.
        typed: the words of the whole sweep, of which the processes of the job need those that say where configs are.
    """
    job = HydraConfig.get()
    folder, words = Path(job.runtime.output_dir), job.overrides.task
    found_by = [word for word in typed if word.startswith(("--config-", "hydra.searchpath="))]
    note: Callable[..., None] = functools.partial(write_job, folder, words) if is_first() else lambda *_: None
    try:
        with claimed(folder, wait=1.0) if is_first() else nullcontext(), of_trial(trial_of(job)):
            before = job_before(folder, words)
            if before and before.error is None and before.objective is not None:
                print(f"Kept: job {job.job.num}, which has ended already, with {before.objective}")
                return before.objective
            begun = before is not None and (folder / COMPOSED).is_file()
            if not begun:
                require_free(folder)
            _make_single_job(folder, [*found_by, *(["trust=true", option("resume", folder)] if begun else words)])
            note(None, UNFINISHED)
            try:
                cfg = resumed(str(folder), {"trust": True}) if begun else cfg
                check(cfg)
                objective = task(cfg)
            except Interruption as error:
                note(None, str(error))
                raise
            except Pruned as error:
                note(error.objective, pruned=str(error))
                return error.objective
            except Exception as error:
                note(None, str(error).strip().splitlines()[0] if str(error) else type(error).__name__)
                raise
            note(objective)
            return objective
    except (Interruption, FolderError) as error:  # the user stops the whole sweep, or its folder is another's
        finish(show=isinstance(error, Interruption))
        sys.exit(_fail(error))
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        _fail(error)
        return None


def _make_single_job(folder: Path, words: list[str]) -> None:
    """Make the command line that of this job: Lightning starts the processes of the other ranks with it."""
    job: Any = HydraConfig.get()
    sys.argv[1:] = [*words, "hydra.mode=RUN"]
    with read_write(job), open_dict(job):
        job.run.dir = str(folder)


def _remove_if_empty(folder: Path) -> None:
    """Leave no run folder of a run that never began."""
    with suppress(OSError):  # it is gone already, by another of the run's processes
        if folder.resolve() != Path.cwd() and [path.name for path in folder.iterdir()] == [RECORD]:
            (folder / RECORD).unlink()
        for place in (folder, folder.parent):
            if place != Path.cwd() and not any(place.iterdir()):
                place.rmdir()


def _explained(error: BaseException, swept: bool, all_failed: bool) -> int:
    """Tell in a line what ended the program, for its exit status; a fault of its own is raised again."""
    if isinstance(error, KeyboardInterrupt):
        return _fail(Interruption("by SIGINT before there was anything to save"))
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has read enough
        return 1
    if (mistake := _mistake(error)) is not None:
        return _fail(mistake)
    if isinstance(error, ValueError) and all_failed:
        return 1  # a sweeper finds no best job: all of them failed, and said why
    told = isinstance(error, HydraException | OmegaConfBaseException)
    if isinstance(error, InstantiationException) or not (told or swept):
        raise error
    return _fail(error)  # of a sweep: a process of a job was killed, say


def _mistake(error: BaseException) -> UserError | None:
    """The error as one to be told in its own words, or in those of the operating system; None for any other."""
    if isinstance(error, UserError):
        return error
    if not isinstance(error, OSError) or (error.filename is None and not is_full(error)):
        return None
    file = "" if error.filename is None else f"'{error.filename}': "
    remedy = ": make room; a training goes on from what it saved with resume=RUN" if is_full(error) else ""
    return UserError(f"{file}{error.strerror}{remedy}")


def _fail(error: BaseException) -> int:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    line, kind, status = (error, error.kind, error.status) if isinstance(error, UserError) else (first, "error", 2)
    if os.environ.get(SHOW):
        traceback.print_exception(error)
    if not isinstance(error, QuietInterruption):
        print(f"{kind}: {line}", file=sys.stderr)
    return status
