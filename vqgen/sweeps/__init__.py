"""What Hydra starts the jobs of a sweep with: a sweeper on Optuna, a launcher for the GPUs of a machine."""

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from vqgen.runs.leaderboard import PLUGINS
from vqgen.sweeps.local_gpus import LocalGPUs, OneJob
from vqgen.sweeps.optuna_sweeper import OptunaSweeper

__all__ = ["LocalGPUs", "OneJob", "OptunaSweeper", "register"]


def register() -> None:
    """Make them known to Hydra, which takes plugins by the names of its own namespace alone.

    Where Hydra's plugin for Optuna is installed, its configs of the same names make way for those of `conf`.
    """
    plugins = Plugins.instance()
    for plugin in (LocalGPUs, OneJob, OptunaSweeper):
        plugins.class_name_to_class[f"{PLUGINS}.{plugin.__name__}"] = plugin
    sweepers = ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {})
    for name in ("optuna.yaml", "sampler"):
        sweepers.pop(name, None)
