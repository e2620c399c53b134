"""Use a trained run: `python sample.py run=RUN`. Every task and option: `python sample.py --help`."""

import hydra
from omegaconf import DictConfig

from vqgen.command_line import command
from vqgen.config import check_sample


@command("sample", check_sample)
@hydra.main(config_path="conf", config_name="sample", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Carry out one task on a run."""
    check_sample(cfg)
    from vqgen.experiment import sample  # torch and Lightning load after the check

    sample(cfg)


if __name__ == "__main__":
    main()
