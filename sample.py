"""Use a trained run: `python sample.py run=RUN`. Every task and option: `python sample.py --help`."""

from omegaconf import DictConfig

from vqgen.config.check import check_sample
from vqgen.config.command_line import command


@command("sample", check_sample)
def main(cfg: DictConfig) -> None:
    """Carry out one task on a run."""
    from vqgen.experiment import sample  # torch and Lightning load after the config check

    sample(cfg)


if __name__ == "__main__":
    main()
