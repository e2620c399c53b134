"""Train a model: `python train.py model=vqvae data=shapes`. Every option: `python train.py --help`."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vqgen.config.check import check
from vqgen.config.command_line import command


@command("train", check)
def main(cfg: DictConfig) -> float | None:
    """Train and return the metric that a sweep minimises."""
    from vqgen.experiment import train  # torch and Lightning load after the config check

    return train(cfg, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
