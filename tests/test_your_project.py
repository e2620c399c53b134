"""docs/your_project.md from a wheel: its files in an empty folder, its commands by what `pip install` has put there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.test_docs import FILES, ROOT

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "your_project.md").read_text()
SHORT = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "trainer.enable_progress_bar=false",
    "hardware=cpu",
]
SMALL = ["data.num_images=40", "data.batch_size=16", "model.encoder.hidden_channels=16"]
SMALL_PRIOR = ["model.network.hidden_channels=8", "model.network.num_layers=2"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source archive of a copy of the project."""
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for name in ("vqgen", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = f"from setuptools import build_meta as b; b.build_sdist({str(made)!r}); b.build_wheel({str(made)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    return made


def test_the_wheel_and_the_source_archive_hold_every_config(built: Path):
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    with ZipFile(*built.glob("*.whl")) as wheel:
        assert {f"vqgen/{name}" for name in configs} <= set(wheel.namelist())
    with tarfile.open(*built.glob("*.tar.gz")) as archive:
        assert configs <= {name.partition("/")[2] for name in archive.getnames()}


class Project:
    """A folder with the page's files, and an environment that has vqgen from the wheel and what it needs from here."""

    def __init__(self, place: Path, wheel: Path) -> None:
        self.folder, environment = place / "my project", place / "environment"
        venv.create(environment, symlinks=True)
        self.site = next(environment.glob("lib/*/site-packages"))
        (self.site / "outer.pth").write_text(sysconfig.get_path("purelib"))
        install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
        pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
        subprocess.run([*pip, *install], check=True, capture_output=True)
        self.env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VQGEN_COMMAND")}
        self.env |= dict(re.findall(r"^    export (\w+)=(\S+)", PAGE, re.M))
        self.env["PATH"] = f"{environment / 'bin'}:{self.env['PATH']}"
        for name, text in FILES.findall(PAGE):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)

    def run(self, *words: str, status: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=self.folder, env=env or self.env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == status, f"{shlex.join(words)}\n{done.stderr[-3000:]}"
        return done


@pytest.fixture(scope="module")
def project(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("user"), next(built.glob("*.whl")))


def short(words: list[str]) -> list[str]:
    """A command of the page, with words that make it short on two cores."""
    if words[0] == "vqgen-sample" or {"--help", "--cfg"} & set(words):
        return words
    if any(word.startswith("resume=") for word in words):
        return [word.replace("=6", "=2") for word in words]
    logger = [] if "run_dir=runs/leaves" in words else ["logger=csv"]
    return [*words, *SHORT, *(SMALL_PRIOR if "model=gated_pixelcnn" in words else SMALL), *logger]


def test_the_page_runs_from_a_wheel_and_a_package_that_is_not_named_is_refused(project: Project):
    assert len(FILES.findall(PAGE)) <= 10
    imported = project.run("python", "-c", "import vqgen; print(vqgen.__file__)").stdout
    assert Path(imported.strip()).is_relative_to(project.site)
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^    (vqgen-\w+ .*)$", PAGE, re.M)]
    assert len(commands) >= 9
    told = [project.run(*short(words)) for words in commands]
    assert "leaves.EdgeVQVAE" in told[2].stdout
    assert "a loss on edges" in told[0].stdout
    assert told[3].stdout.rstrip().endswith("Next: vqgen-train model=gated_pixelcnn tokenizer=runs/leaves")
    runs = project.folder / "runs"
    assert "edge_loss" in (runs / "leaves" / "metrics.csv").read_text()
    assert list((runs / "leaves" / "wandb").glob("offline-run-*"))
    assert len((runs / "edges" / "leaderboard.csv").read_text().splitlines()) == 4
    assert (runs / "prior" / "sample" / "samples.png").is_file()
    assert project.run("python", "look.py").stdout == "torch.Size([1, 8, 8])\n"
    assert {path.name for path in project.folder.iterdir()} == {"conf", "leaves", "look.py", "runs", "data"}
    env = {name: value for name, value in project.env.items() if name != "VQGEN_PACKAGES"}
    refused = project.run("vqgen-sample", "task=reconstruct", "run=runs/leaves", status=2, env=env)
    assert refused.stderr.endswith("refused; if leaves is your own package: export VQGEN_PACKAGES=leaves\n")
    refused = project.run("vqgen-train", "model=gated_pixelcnn", status=2, env=env)
    assert "(train one with: vqgen-train model=vqvae)" in refused.stderr


def test_several_processes_find_the_users_folder_and_package(project: Project):
    env = {name: value for name, value in project.env.items() if name != "VQGEN_CONFIG_DIR"}
    done = project.run("vqgen-train", "experiment=leaves", status=2, env=env)
    assert done.stderr.endswith("there is one in ./conf: --config-dir=conf\n")
    two = [word for word in SHORT if word != "hardware=cpu"] + ["hardware.devices=2", "hardware.accelerator=cpu"]
    words = ["--config-dir=conf", "-m", "experiment=leaves", "seed=0", "hydra.sweep.dir=runs/two", "logger=csv"]
    done = project.run("vqgen-train", *words, *two, "hardware.precision=32-true", *SMALL, env=env)
    assert "Starting with 2 processes" in done.stdout + done.stderr
    assert (project.folder / "runs" / "two" / "0" / "checkpoints" / "last.ckpt").is_file()
