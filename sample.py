"""Use a trained run: `python sample.py run=RUN`. Every task and option: `python sample.py --help`."""

from omegaconf import DictConfig

from vqgen.command_line import command
from vqgen.config import check_sample


@command("sample", check_sample)
def main(cfg: DictConfig) -> None:
    """Carry out one task on a run."""
    from vqgen.experiment import sample  # torch and Lightning load after the config check

    sample(cfg)


if __name__ == "__main__":
    main()
