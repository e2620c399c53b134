"""What several tests share: tiny models and runs made by the command line itself."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from tests.processes import python
from vqgen.config.search_path import CONF
from vqgen.environment.hydra_versions import VERSION_BASE
from vqgen.environment.memory import keep_memory
from vqgen.runs.confine import confine

# A job in the background ignores Ctrl-C, and hands that on to all that it starts: the runs of these tests must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
keep_memory()  # as the programs do

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "data.num_train=96",
    "data.num_val=32",
    "data.num_test=32",
    "data.batch_size=32",
    "data.size=16",
    "model.encoder.hidden_channels=16",
    "model.encoder.residual_channels=8",
    "model.quantizer.num_embeddings=8",
    "model.quantizer.embedding_dim=8",
    "trainer.max_epochs=2",
    "hardware=cpu",
    "trainer.enable_progress_bar=false",
]
TINY_PRIOR = [
    "model.network.hidden_channels=8",
    "model.network.num_layers=2",
    "model.network.output_channels=16",
    "model.conditioner.channels=8",
    "trainer.max_epochs=2",
    "hardware=cpu",
    "trainer.enable_progress_bar=false",
]

Command = Callable[..., subprocess.CompletedProcess[str]]


def composed(words: Sequence[str], name: str = "train") -> DictConfig:
    """The config that these words make of a yaml of conf/."""
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        return compose(name, list(words))


@pytest.fixture(autouse=True)
def unconfined() -> None:
    """What a test in this process may write to is not for the next one to keep to."""
    confine()


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run train.py or sample.py as a user would, in a folder of its own."""
    folder = tmp_path_factory.mktemp("user")

    def run(script: str, *words: str, cwd: Path = folder, modules: Path = ROOT) -> subprocess.CompletedProcess[str]:
        mine = os.environ | {"PYTHONPATH": f"{modules}:{ROOT}"}  # for processes that a launcher starts elsewhere, too
        return python(str(ROOT / script), *words, cwd=cwd, env=mine)

    run.folder = folder  # type: ignore[attr-defined]
    return run


def _trained(command: Command, name: str, *words: str) -> Path:
    done = command("train.py", f"run_dir={name}", *words)
    assert done.returncode == 0, done.stderr
    assert "You have overridden" not in done.stderr  # what Lightning says of our hooks is no news to a user
    return command.folder / name  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def vqvae_run(command: Command) -> Path:
    """A VQ-VAE trained for two epochs on small shapes."""
    return _trained(command, "vqvae", *TINY)


@pytest.fixture(scope="session")
def prior_run(command: Command, vqvae_run: Path) -> Path:
    """A gated PixelCNN trained for two epochs on that VQ-VAE's codes."""
    return _trained(command, "prior", "model=gated_pixelcnn", f"tokenizer={vqvae_run}", "logger=csv", *TINY_PRIOR)
