"""The two programs: `train.py` and `sample.py` of a checkout, `vqgen-train` and `vqgen-sample` once installed."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vqgen.config.check import check, check_sample
from vqgen.config.command_line import command


@command("train", check)
def train(cfg: DictConfig) -> float | None:
    """Train and return the metric that a sweep minimises."""
    from vqgen import experiment  # torch and Lightning load after the config check

    return experiment.train(cfg, Path(HydraConfig.get().runtime.output_dir))


@command("sample", check_sample)
def sample(cfg: DictConfig) -> None:
    """Carry out one task on a run."""
    from vqgen import experiment  # torch and Lightning load after the config check

    experiment.sample(cfg)
