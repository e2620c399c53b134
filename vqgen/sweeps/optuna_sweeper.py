"""Hydra's sweeper for a search of Optuna, in the place of the plugin of that name and with its options."""

import os
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from vqgen.environment.launcher import slurm_tasks, started_by_srun
from vqgen.errors import ConfigError, UserError
from vqgen.plain import PlainDict
from vqgen.runs.leaderboard import pairs
from vqgen.sweeps.plots import draw
from vqgen.sweeps.samplers import grid_size
from vqgen.sweeps.search import Search, Taken, require_optuna
from vqgen.sweeps.space import Space, space_of
from vqgen.sweeps.storage import located


class OptunaSweeper(Sweeper):
    """Trials one after another, `n_jobs` at a time, until the study has `n_trials`, those of other processes too.

    Args:
        sampler: node of a class of optuna.samplers, such as TPESampler.
        pruner: node of a class of optuna.pruners, by which a run may be ended after an epoch; None for none.
        direction: of the objective, the best validation loss.
        storage: URL of a database, or path of a journal; None: a journal in the folder of the sweep.
        study_name: of several searches in one storage each has a name of its own.
        n_trials: trials of the study in total, failed and pruned ones too.
        n_jobs: trials that are handed to the launcher at a time.
        max_failure_rate: part of these that may fail; 1 goes on whatever fails.
        search_space: options by their names, as older versions of the plugin had them.
        params: words of the space by option, which those of the command line come before.
    """

    config: Any
    hydra_context: Any
    launcher: Any

    def __init__(
        self,
        sampler: DictConfig,
        pruner: DictConfig | None = None,
        direction: Literal["minimize", "maximize"] = "minimize",
        storage: str | None = None,
        study_name: str = "vqgen",
        n_trials: int = 20,
        n_jobs: int = 1,
        max_failure_rate: float = 1.0,
        search_space: DictConfig | None = None,
        params: DictConfig | None = None,
    ) -> None:
        self.sampler, self.pruner, self.direction = _plain(sampler), _plain(pruner), direction
        self.storage, self.study_name = storage, study_name
        self.n_trials, self.n_jobs, self.max_failure_rate = n_trials, n_jobs, max_failure_rate
        self.search_space, self.params = _plain(search_space), _plain(params)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher.

        Raises:
            ConfigError: Optuna is missing, or each of several processes would search by itself.
        """
        require_optuna()
        if "TORCHELASTIC_RUN_ID" in os.environ or ((slurm_tasks() or 1) > 1 and started_by_srun()):
            raise ConfigError(
                "hydra/sweeper=optuna: each of the processes started here would search by itself: start one without "
                "torchrun or srun; trials of several processes are hardware=ddp hardware.devices=N"
            )
        if any(word.lstrip("+").startswith("hydra.sweep.subdir=") for word in config.hydra.overrides.hydra):
            raise ConfigError("hydra.sweep.subdir: trials of a search lie in folders by their numbers; leave it out")
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search, and draw what came of it into the folder of the sweep.

        Args:
            arguments: the words of the command line, without Hydra's own.
        """
        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        space = space_of(parser.parse_overrides(words), self.search_space)
        folder = Path(self.config.hydra.sweep.dir)
        search = self._search(folder, words, space)
        total = self.n_trials
        if str(self.sampler["_target_"]).endswith(".GridSampler"):
            total = min(total, grid_size(space))
        try:
            while taken := search.take(self.n_jobs, total):
                self.launcher.launch([_words(space, one) for one in taken], initial_job_idx=taken[0].number)
                self._check_failures([search.tell(one.number) for one in taken])
        finally:
            for line in draw(search.study, folder):
                print(line)
        if others := search.running():
            numbers = ", ".join(map(str, others))
            print(
                f"note: still running in other processes: {numbers}; they, or this command again, count what they find"
            )

    def _search(self, folder: Path, words: list[str], space: Space) -> Search:
        if not space.searched:
            raise ConfigError(
                "hydra/sweeper=optuna: nothing to search: give such as 'optim.lr=tag(log, interval(1e-4, 1e-2))'"
            )
        texts = pairs(words) | {key: str(node) for key, node in self.search_space.items()}
        storage = located(self.storage, folder)
        return Search(folder, storage, self.study_name, self.direction, texts, space, self.sampler)

    def _check_failures(self, jobs: list[Any]) -> None:
        bad = [job for job in jobs if job is None or job.error or job.objective is None]
        if len(bad) > self.max_failure_rate * len(jobs):
            raise UserError(
                f"hydra.sweeper.max_failure_rate={self.max_failure_rate}: {len(bad)} of {len(jobs)} trials failed; the "
                "same command goes on with the others"
            )


def _words(space: Space, trial: Taken) -> list[str]:
    """The words of a trial, in whose folder its number stands."""
    values = [f"{name}={value}" for name, value in trial.params.items()]
    return [*space.fixed, *values, f"hydra.sweep.subdir={trial.number}"]


def _plain(node: DictConfig | None) -> PlainDict:
    values = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else dict(node or {})
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}
