"""Train a model: `python train.py model=vqvae data=shapes`. Every option: `python train.py --help`."""

import hydra
from omegaconf import DictConfig

from vqgen.command_line import command
from vqgen.config import check


@command("train", check)
@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """Train and return the metric that a sweep minimises."""
    check(cfg)
    from vqgen.experiment import train  # torch and Lightning load after the check

    return train(cfg)


if __name__ == "__main__":
    main()
