"""What the pages show works: their files are written into a copy of the project and their commands are run."""

import re
import shlex
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import python

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "data.batch_size=16",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "logger=csv",
    "hardware=cpu",
    "trainer.enable_progress_bar=false",
]
SHAPES = ["data.size=32", "data.num_train=64", "data.num_val=16", "data.num_test=16"]
FILES = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)


def run(project: Path, *words: str) -> str:
    """What a command prints, run in a copy of the project."""
    done = python(*words, cwd=project)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path):
    for name in re.findall(r"`(vqgen/[a-z0-9_/]+(?:\.py)?)`", page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the files of docs/extending.md."""
    project = tmp_path_factory.mktemp("project")
    for name in ("vqgen", "conf"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "sample.py", "pyproject.toml"):
        shutil.copy(ROOT / name, project / name)
    for path, text in FILES.findall((ROOT / "docs" / "extending.md").read_text()):
        (project / path).write_text(text)
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (n, 3, 32, 32), np.uint8) for name, n in (("train", 60), ("test", 20))}
    np.savez(project / "images.npz", **images)
    run(project, "train.py", "model=vqvae", "model/quantizer=signs", "run_dir=RUN", *SHAPES, *TINY)
    return project


def _short(command: str, number: int) -> list[str]:
    """The words that make a command of the page short."""
    if command.startswith("sample.py"):
        few = {"task=errors": ["num_images=16"], "task=evaluate": ["num_samples=8"]}
        return next((words for task, words in few.items() if task in command), [])
    images = [] if "data=arrays" in command or "tokenizer=" in command else SHAPES
    return [*images, *TINY, *([] if "run_dir=" in command else [f"run_dir=run{number}"])]


@pytest.mark.slow
def test_every_command_of_the_page_on_adding_runs(extended: Path):
    commands = re.findall(r"^    python (.*)$", (ROOT / "docs" / "extending.md").read_text(), re.M)
    assert len(commands) >= 15
    for number, command in enumerate(commands):
        run(extended, *shlex.split(command), *_short(command, number))
    assert (extended / "RUN" / "errors" / "errors.png").exists()
    drawn = [extended / run / "sample" / "samples.png" for run in ("PRIOR", "BY_CORNERS")]
    assert all(file.exists() for file in [*drawn, extended / "PRIOR" / "compress" / "image_0.vqc"])


@pytest.mark.slow
def test_the_examples_of_the_page_are_checked_as_the_project_is(extended: Path):
    names = [path for path, _ in FILES.findall((ROOT / "docs" / "extending.md").read_text()) if path.endswith(".py")]
    subprocess.run([sys.executable, "-m", "ruff", "check", *names], cwd=extended, check=True)
    help_text = run(extended, "train.py", "--help") + run(extended, "sample.py", "--help")
    ours = ("signs", "arrays", "denoising", "errors", "two_sizes", "muon", "recurrent", "best_of", "corners")
    assert all(name in help_text for name in ours)


@pytest.mark.slow
def test_the_critic_and_the_matrices_of_the_page_have_optimisers_of_their_own(extended: Path):
    command = [
        "train.py",
        "model=vqvae",
        "model/critic=two_sizes",
        "trainer.log_every_n_steps=1",
        "trainer.accumulate_grad_batches=2",
        "run_dir=CRITIC",
        *SHAPES,
        *TINY,
    ]
    run(extended, *command)
    run(extended, "train.py", "resume=CRITIC", "trainer.max_epochs=2", "optim.weight_decay=0.1")
    run(
        extended,
        "train.py",
        "model=ae",
        "model/autoencoder=mlp",
        "optim=adamw",
        "parameter_groups=muon",
        "run_dir=MUON",
        *SHAPES,
        *TINY,
    )
    for name, expected in {"CRITIC": {"rest", "no_decay", "critic/rest"}, "MUON": {"no_decay", "matrices"}}.items():
        contents = torch.load(extended / name / "checkpoints" / "last.ckpt", weights_only=True)
        groups = {group["name"]: group for group in contents["optimizer_states"][0]["param_groups"]}
        assert groups.keys() == expected
        assert all(group["params"] for group in groups.values())
    assert groups["matrices"]["momentum"] == 0.95
    assert {"train/adversarial_loss", "train/critic_loss", "train/critic_real"} <= set(
        (extended / "CRITIC" / "metrics.csv").read_text().splitlines()[0].split(",")
    )


@pytest.mark.slow
def test_the_quantizer_of_the_page_finds_the_codes_that_it_embeds(extended: Path):
    run(
        extended,
        "-c",
        (
            "import torch; from vqgen.nn.quantize.signs import Signs; q = Signs(5);"
            "codes = torch.arange(32).view(1, 4, 8);"
            "assert torch.equal(q.nearest(q.embed(codes)), codes);"
            "z = torch.randn(2, 5, 3, 3, requires_grad=True); q(z).z_q.sum().backward(); assert (z.grad == 1).all()"
        ),
    )


def _idx(array: np.ndarray) -> bytes:
    """An array as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two programs in it, small files where the page says that data are, and a folder of images."""
    project = tmp_path_factory.mktemp("readme")
    for name in ("train.py", "sample.py", "vqgen", "conf"):
        (project / name).symlink_to(ROOT / name)
    rng = np.random.default_rng(0)
    folder = project / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    for name, n in (("train", 5100), ("t10k", 40)):  # 5,000 of those for training are the validation split
        images = rng.integers(0, 256, (n, 28, 28), np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(_idx(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(_idx((np.arange(n) % 10).astype(np.uint8)))
    mine = project / "FOLDER_OF_MINE" / "mine"
    mine.mkdir(parents=True)
    classes = ("from vqgen.drawing import Raster as Sampler", "from vqgen.nn.priors import PixelCNN as Network")
    (mine / "__init__.py").write_text("\n".join([*classes, "class Network(Network): pass"]))
    (project / "PATH").mkdir()
    for number in [*range(30), *range(60_000, 60_015), *range(65_000, 65_015)]:  # as the faces of FFHQ are numbered
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(project / "PATH" / f"{number:05}.png")
    return project


def _smoke(words: list[str]) -> list[str]:
    """The words of the page, and those that make a training short on two cores."""
    if "--help" in words:
        return words
    if words[0] == "sample.py":
        return [*words, *([] if any("num_samples" in word for word in words) else ["num_samples=2"])]
    if any(word.startswith("resume=") for word in words):
        return [word.replace("=60", "=2") for word in words]
    kept = [word for word in words if word != "hardware.devices=4"]
    machine = "hardware=cpu"
    if "hardware=ddp" in words:
        machine = "hardware.devices=2"
        kept += ["hardware.accelerator=cpu", "hardware.precision=32-true", "hardware.channels_last=false"]
    small = ["data.size=64"] if "data=ffhq" in words else []
    images = ["data.num_train=64", "data.num_val=16", "data.num_test=16"]
    others = any(word.startswith(("data=", "tokenizer=")) for word in words) and "data=scenes" not in words
    shapes = [] if others else images
    logger = [] if any(word.startswith("logger=") for word in words) else ["logger=csv"]
    short = [word for word in TINY if not word.startswith(("logger", "hardware"))]
    return [*kept, machine, *small, *shapes, *logger, *short]


@pytest.mark.slow
def test_every_command_of_the_readme_runs(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(fresh / "FOLDER_OF_MINE"))
    monkeypatch.setenv("VQGEN_PACKAGES", "mine")
    text = (ROOT / "README.md").read_text()
    commands = [shlex.split(line, comments=True) for line in re.findall(r"^    python (.*)$", text, re.M)]
    assert len(commands) >= 16
    for words in commands:
        if "task=explore" not in words:  # a page until Ctrl-C, which tests/tasks/test_explore_browser.py visits
            run(fresh, *_smoke(words))
    assert len(list((fresh / "runs" / "priors").glob("*/checkpoints/best.ckpt"))) == 2


@pytest.mark.slow
def test_the_python_of_the_readme_runs(fresh: Path):
    text = (ROOT / "README.md").read_text()
    block = re.search(r"## From Python\n\n(.*?)\n\n[^ ]", text, re.DOTALL)
    assert block is not None
    code = textwrap.dedent(block[1]).replace("runs/vqvae", "fashion_vqvae")
    made = "import torch\nx = torch.zeros(2, 1, 32, 32)\n"
    run(fresh, "-c", f"{made}{code}\nassert x_hat.shape == x.shape\nassert outcome.arrays['samples'].shape[0] == 16")


@pytest.mark.slow
def test_every_command_of_the_page_on_shapes_runs(fresh: Path):
    commands = re.findall(r"^    python (.*)$", (ROOT / "docs" / "shapes.md").read_text(), re.M)
    assert len(commands) == 4
    for command in commands:
        run(fresh, *_smoke(shlex.split(command)))


def test_the_picture_of_scenes_is_the_one_that_the_page_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "shapes.md").read_text(), re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    exec(block[1], {})
    made, shown = (np.asarray(Image.open(path), int) for path in ("scenes.png", ROOT / "docs/pictures/scenes.png"))
    assert np.abs(made - shown).max() <= 1
