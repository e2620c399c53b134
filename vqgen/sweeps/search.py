"""A search of Optuna that lasts: its trials in a storage, taken by any number of processes, each trial by one."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from vqgen.errors import ConfigError, FolderError, typed
from vqgen.plain import PlainDict
from vqgen.runs.claim import in_use, locked, unlocked
from vqgen.runs.leaderboard import SEARCH, Job, difference, is_search, job_at
from vqgen.sweeps.samplers import pruner_of, sampler_of
from vqgen.sweeps.space import Space
from vqgen.sweeps.storage import located, readable, shown, storage_at

if TYPE_CHECKING:
    from optuna.study import Study

_MINE = "vqgen"  # attribute of a study: whose it is
_OLDEST = 4  # version of Optuna


class Taken(NamedTuple):
    """A trial that this process is to run: its number, which is its folder's name, and its values."""

    number: int
    params: dict[str, Any]


class Search:
    """The trials of a study, in whose folder several processes may work.

    A trial that runs has a lock in its folder, which the process that took it holds until it has told what came of it.
    A trial that runs without one is that of a process that was killed, and the next process takes it. Processes take
    trials one at a time. The draw of a trial is a function of (seed, number, trials before it): a search that goes on
    and processes side by side draw nothing twice.

    Args:
        folder: of the sweep; trial 7 is the run `7` in it.
        storage: see `storage_at`.
        name: of the study.
        direction: minimize or maximize.
        words: of the sweep; a study with others is another search.
        space: what is searched.
        sampler: node of a class of optuna.samplers.

    Raises:
        ConfigError: the storage cannot be read, or there is no such sampler.
        FolderError: the storage holds another search by that name.
    """

    def __init__(
        self,
        folder: Path,
        storage: str,
        name: str,
        direction: Literal["minimize", "maximize"],
        words: Mapping[str, str],
        space: Space,
        sampler: PlainDict,
    ) -> None:
        import optuna

        self.folder, self.space = folder, space
        self._locks: dict[int, FileLock | None] = {}
        self._sampler = functools.partial(sampler_of, sampler, space)
        first = self._sampler(0)
        mine = {"words": dict(words), "direction": direction, "folder": str(folder.resolve())}
        with self._alone(), readable(storage):
            study = optuna.create_study(
                storage=storage_at(storage),
                study_name=name,
                direction=direction,
                load_if_exists=True,
                sampler=first,
            )
            before = study.user_attrs.get(_MINE)
            if before is None and study.get_trials(deepcopy=False):
                raise FolderError(_another(storage, name, "trials of another program"))
            _refuse_another(before or mine, mine, storage, name)
            study.set_user_attr(_MINE, mine)
        self.study: Study = study

    def take(self, number: int, total: int) -> list[Taken]:
        """Trials to run now, at most `number`: those of killed processes, and new ones until there are `total`."""
        taken: list[Taken] = []
        with self._alone():
            trials = self._begun()
            for trial in trials:
                if not trial.state.is_finished() and len(taken) < number and self._hold(trial.number):
                    taken.append(Taken(trial.number, trial.params))
            for _ in range(min(number - len(taken), total - len(trials))):
                self.study.sampler = self._sampler(len(self.study.get_trials(deepcopy=False)))
                asked = self.study.ask(self.space.searched)
                if not self._hold(asked.number):
                    raise FolderError(
                        f"'{self.folder / str(asked.number)}' is in use: it is not a trial's of this search"
                    )
                taken.append(Taken(asked.number, asked.params))
        return taken

    def tell(self, number: int) -> Job | None:
        """Tell the study what came of a trial, by the note in its folder; None where there is none."""
        from optuna.trial import TrialState

        job = job_at(self.folder / str(number))
        state, value = TrialState.FAIL, None
        if job is not None and job.error is None and job.objective is not None:
            state, value = (TrialState.PRUNED, None) if job.pruned else (TrialState.COMPLETE, job.objective)
        with self._alone():
            try:
                self.study.tell(number, value, state=state, skip_if_finished=True)
            except RuntimeError as error:  # of a grid at its last point, when all is told
                if "Study.stop" not in str(error):
                    raise
        self._let_go(number)
        return job

    def running(self) -> list[int]:
        """Numbers of the trials that other processes run."""
        return [trial.number for trial in self._begun() if not trial.state.is_finished()]

    def _begun(self) -> list[Any]:
        """Trials with all their values: one without was not begun when its process was killed."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.params.keys() == self.space.searched.keys()
        ]

    def _hold(self, number: int) -> bool:
        """Take the lock of a trial; not where it is held, or the trial's run goes on in a process of its own."""
        folder = self.folder / str(number)
        try:
            lock = locked(folder / "trial.lock", wait=0.0)
        except Timeout:
            return False
        self._locks[number] = lock
        if not in_use(folder):
            return True
        self._let_go(number)
        return False

    def _let_go(self, number: int) -> None:
        unlocked(self._locks.pop(number))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time."""
        lock = locked(self.folder / "search.lock")
        try:
            yield
        finally:
            unlocked(lock)


def require_optuna() -> None:
    """Raise ConfigError, with what to install, unless there is an Optuna of today."""
    advice = "pip install 'vqgen[sweep]'"
    try:
        import optuna
    except ImportError:
        raise ConfigError(f"hydra/sweeper=optuna: Optuna is not installed: {advice}") from None
    if int(optuna.__version__.partition(".")[0]) < _OLDEST:
        raise ConfigError(f"hydra/sweeper=optuna: Optuna {optuna.__version__} is too old: {advice}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trial_of(hydra: Any) -> PlainDict | None:
    """What the job of a trial has to know of it, as plain data; None for a job of another sweep.

    Args:
        hydra: Hydra's own config in the process of the job.
    """
    if hydra.sweeper.get("_target_") != SEARCH:
        return None
    sweeper, folder = hydra.sweeper, Path(hydra.sweep.dir)
    pruner = OmegaConf.to_container(sweeper.pruner, resolve=True) if sweeper.pruner else None
    return {
        "storage": located(sweeper.storage, folder),
        "study": sweeper.study_name,
        "number": int(hydra.sweep.subdir),
        "pruner": pruner,
    }


def trial_study(trial: PlainDict) -> "Study":
    """The study of a trial, in the process of its job."""
    import optuna

    require_optuna()
    return optuna.load_study(
        study_name=trial["study"], storage=storage_at(trial["storage"]), pruner=pruner_of(trial["pruner"])
    )


def search_begun(cfg: DictConfig, named: bool) -> Path | None:
    """The folder of a search that this command joins or goes on with; None for any other sweep, and for a new search.

    Args:
        cfg: with Hydra's own config.
        named: whether the user has named the folder; otherwise the study knows where its runs are.
    """
    if not is_search(cfg):
        return None
    if named:
        return Path(cfg.hydra.sweep.dir)
    storage, name = cfg.hydra.sweeper.storage, cfg.hydra.sweeper.study_name
    if storage is None:
        return None
    require_optuna()
    import optuna

    storage = located(storage, Path())
    if not Path(storage.removeprefix("sqlite:///")).is_file() and "://" not in storage.removeprefix("sqlite://"):
        return None
    with readable(storage):
        studies = {study.study_name: study for study in optuna.get_all_study_summaries(storage_at(storage))}
    mine = studies[name].user_attrs.get(_MINE) if name in studies else None
    return Path(mine["folder"]) if mine and Path(mine["folder"]).is_dir() else None


def _refuse_another(before: PlainDict, mine: PlainDict, storage: str, name: str) -> None:
    """Raise FolderError where a study is of other words, or goes on in another folder."""
    was, wanted = ({**one["words"], "direction": one["direction"]} for one in (before, mine))
    if other := difference(was, wanted):
        raise FolderError(_another(storage, name, f"a search of other words, {other}"))
    if before["folder"] != mine["folder"] and Path(before["folder"]).is_dir():
        place = typed("hydra.sweep.dir", before["folder"])
        raise FolderError(f"{_another(storage, name, 'a search with its runs elsewhere')}; go on with it by {place}")


def _another(storage: str, name: str, what: str) -> str:
    return (
        f"hydra.sweeper.storage={shown(storage)} holds {what}, under hydra.sweeper.study_name={name}: "
        "take another name, or another hydra.sweep.dir"
    )
