"""A run that is killed at any step and resumed ends as one that was not, bit for bit."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import wandb_file
from tests.conftest import ROOT, Command
from tests.processes import python
from vqgen.errors import CheckpointError
from vqgen.runs.checkpoint import open_last
from vqgen.runs.checkpoint_io import SaveError, WholeCheckpointIO

pytestmark = pytest.mark.slow

STEPS = 6  # of an epoch; there are two
BASE = [
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "hardware=cpu",
    "callbacks.last.every_n_steps=2",
]
IMAGES = [
    "data.size=16",
    "data.num_train=48",
    "data.num_val=16",
    "data.num_test=16",
    "data.batch_size=8",
    *BASE,
    "callbacks.reconstructions.every_n_epochs=1",
]
FLAT = ["model.encoder.hidden_channels=[8,8]", "model.decoder.hidden_channels=[8,8]", "model.latent_dim=4"]
VQVAE = [
    "model.encoder.hidden_channels=8",
    "model.encoder.residual_channels=8",
    "model.quantizer.num_embeddings=8",
    "model.quantizer.embedding_dim=4",
    "model.quantizer.revive_below=0.6",
]
PRIOR = [
    "model=gated_pixelcnn",
    "model.network.hidden_channels=8",
    "model.network.num_layers=2",
    "model.network.output_channels=16",
    "model.network.dropout=0.3",
    "model.conditioner.channels=8",
    "data.batch_size=16",
    *BASE,
]
RUNS = {
    "ae": ["model=ae", *FLAT, *IMAGES, "logger=csv"],
    "vae": ["model=vae", *FLAT, *IMAGES, "logger=csv", "trainer.accumulate_grad_batches=2"],
    "vqvae": [*VQVAE, *IMAGES],  # with W&B
    "workers": ["model=vae", *FLAT, *IMAGES, "logger=csv", "hardware.num_workers=1", "data.num_workers=1"],
    "averaged": [*VQVAE, *IMAGES, "logger=csv", "extras=averaged_weights"],
    "steps": ["model=ae", *FLAT, *IMAGES, "logger=csv", "trainer.max_epochs=4", "trainer.max_steps=14"],
}
KILLED_AT = {"vae": (2, 4), "steps": (7, 13)}  # optimiser steps: the first kill, and that after resuming; others:
DEFAULT_KILLED_AT = (3, 9)
ROUGH = ("images_per_second", "_runtime", "_timestamp", "_wandb", "val/reconstructions")  # not a matter of the model


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested containers, with its place."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else None
    if children is None:
        yield path, node
    else:
        for key, child in children:
            yield from leaves(child, f"{path}/{key}")


def state(run: Path) -> dict[str, Any]:
    """All that decides how a run would go on, but for the names of its files."""
    contents = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    parts = {key: contents[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step")}
    parts |= {"random": contents["vqgen"]["random_states"], "rows": contents["vqgen"]["logged_rows"]}
    return dict(leaves(parts | {k: contents[k] for k in ("current_model_state", "averaging_state") if k in contents}))


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as lines:
        return [{k: v for k, v in row.items() if not k.endswith(ROUGH)} for row in csv.DictReader(lines)]


def history(run: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in row.items() if not k.startswith(ROUGH) and not k.endswith(ROUGH[0])}
        for row in wandb_file.rows(run)
    ]


def killed(step: int, *words: str) -> None:
    done = python("-m", "tests.killed", str(step), *words, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr


def whole_and_killed(command: Command, folder: Path, words: list[str], at: tuple[int, int]) -> tuple[Path, Path]:
    """A run without interruption, and one that was killed twice."""
    for name in ("whole", "killed"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    done = command("train.py", *words, f"run_dir={folder / 'whole'}")
    assert done.returncode == 0, done.stderr
    killed(at[0], *words, f"run_dir={folder / 'killed'}")
    killed(at[1], f"resume={folder / 'killed'}")
    done = command("train.py", f"resume={folder / 'killed'}")
    assert done.returncode == 0, done.stderr
    return folder / "whole", folder / "killed"


def assert_same(whole: Path, other: Path) -> None:
    expected, found = state(whole), state(other)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        same = torch.equal(value, found[key]) if isinstance(value, torch.Tensor) else value == found[key]
        assert same, key
    assert metrics(whole) == metrics(other)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_twice_ends_as_one_that_was_not(name: str, command: Command, tmp_path: Path):
    at = KILLED_AT.get(name, DEFAULT_KILLED_AT)
    whole, other = whole_and_killed(command, tmp_path, [*RUNS[name], f"data_dir={tmp_path}"], at)
    assert_same(whole, other)
    if name == "vqvae":
        assert len(history(whole)) > 2 * STEPS
        assert history(whole) == history(other)


def test_a_prior_with_dropout_killed_twice_ends_as_one_that_was_not(command: Command, vqvae_run: Path, tmp_path: Path):
    words = [*PRIOR, f"tokenizer={vqvae_run}", f"data_dir={tmp_path}", "logger=csv"]
    assert_same(*whole_and_killed(command, tmp_path, words, (3, 9)))


def test_a_run_killed_before_its_first_checkpoint_begins_anew(command: Command, tmp_path: Path):
    words = [*VQVAE, *IMAGES, "logger=csv", "trainer.max_epochs=1"]
    killed(1, *words, f"run_dir={tmp_path / 'killed'}")
    done = command("train.py", f"resume={tmp_path / 'killed'}")
    assert done.returncode == 0, done.stderr
    assert "no checkpoint yet" in done.stderr
    steps = [int(row["step"]) for row in metrics(tmp_path / "killed") if row["train/loss"]]
    assert steps == list(range(STEPS))


@pytest.mark.long
def test_a_run_that_is_moved_between_two_epochs_ends_as_one_that_was_not(command: Command, tmp_path: Path):
    """From another folder, too; the best checkpoint is that of the best of all epochs, and where the run is now."""
    words = [*VQVAE, *IMAGES, f"data_dir={tmp_path}", "data.num_train=16", "trainer.max_epochs=1"]
    paths = {name: tmp_path / name / "run" for name in ("stayed", "moved")}
    for path in paths.values():
        done = command("train.py", *words, f"run_dir={path}")
        assert done.returncode == 0, done.stderr
    now = paths["moved"].rename(tmp_path / "now")
    for run, place in ((paths["stayed"], tmp_path), (Path("now"), tmp_path)):
        for epochs in (1, 3):  # nothing left to do but the test, and more
            done = command("train.py", f"resume={run}", f"trainer.max_epochs={epochs}", cwd=place)
            assert done.returncode == 0, done.stderr
    assert_same(paths["stayed"], now)
    assert history(paths["stayed"]) == history(now)
    losses = [float(row["val/recon_loss"]) for row in metrics(now) if row["val/recon_loss"]]
    best = torch.load(now / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == losses.index(min(losses))
    assert not paths["moved"].exists()
    done = command("sample.py", "task=reconstruct", "log=true", f"run={now}")
    assert done.returncode == 0, done.stderr


def test_a_resumed_run_goes_on_at_the_rate_it_is_given(command: Command, tmp_path: Path):
    words = [*RUNS["ae"], "schedule=cosine", "trainer.max_epochs=1"]
    assert command("train.py", *words, f"data_dir={tmp_path}", f"run_dir={tmp_path / 'run'}").returncode == 0
    changes = ["optim.lr=0.25", "optim.weight_decay=0.5", "schedule.final_factor=1", "trainer.max_epochs=2"]
    done = command("train.py", f"resume={tmp_path / 'run'}", *changes)
    assert done.returncode == 0, done.stderr
    contents = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    groups = contents["optimizer_states"][0]["param_groups"]  # two, now that there is a decay that biases do not have
    assert {group["name"]: group["weight_decay"] for group in groups} == {"rest": 0.5, "no_decay": 0.0}
    assert contents["lr_schedulers"][0]["base_lrs"] == [0.25, 0.25]
    for group in groups:
        assert group["lr"] == pytest.approx(0.25 * (2 * STEPS + 1) / 101)  # in the warm-up of 100 steps


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_names_the_command_to_go_on(number: signal.Signals, command: Command, tmp_path: Path):
    run = tmp_path / "run"
    words = [*VQVAE, *IMAGES, "logger=csv", "trainer.max_epochs=10000", "callbacks.last.every_n_steps=null"]
    line = [sys.executable, str(ROOT / "train.py"), *words, f"run_dir={run}"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and not (run / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"stopped: by {number.name} at step ")
    assert last.endswith(f"python train.py resume={run}")
    assert "Traceback" not in errors
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert f"at step {step}," in last
    done = command("train.py", f"resume={run}", f"trainer.max_epochs={step // STEPS + 1}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """A run of one epoch with its checkpoints."""
    run = tmp_path_factory.mktemp("saved") / "run"
    done = command("train.py", *VQVAE, *IMAGES, "logger=csv", "trainer.max_epochs=1", f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    return run


def test_a_truncated_last_checkpoint_gives_way_to_the_one_before(saved: Path, tmp_path: Path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("last", "previous", "best"):
        (folder / f"{name}.ckpt").write_bytes((saved / "checkpoints" / f"{name}.ckpt").read_bytes())
    assert open_last(tmp_path).contents["global_step"] == STEPS
    for name, taken in (("last", "previous"), ("previous", "best")):
        os.truncate(folder / f"{name}.ckpt", 1000)
        with pytest.warns(
            UserWarning,
            match=rf"{name if name == 'last' else 'last'}.ckpt' cannot be read.*"
            rf"going on from '.*{taken}.ckpt', step \d",
        ):
            assert open_last(tmp_path).file.name == f"{taken}.ckpt"
    os.truncate(folder / "best.ckpt", 1000)
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_last(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path):
    """The disk is full after 100 kB: the limit on the size of a file stands for it."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"x": torch.zeros(10)}, path)
    code = (
        "import resource, signal, sys, torch; from vqgen.runs.checkpoint_io import WholeCheckpointIO;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5));"
        "WholeCheckpointIO().save_checkpoint({'x': torch.ones(10**6)}, sys.argv[1])"
    )
    line = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert f"{SaveError.__name__}: '{path}' could not be written" in done.stderr.splitlines()[-1]
    assert "what was written before is as it was: last.ckpt" in done.stderr
    assert torch.equal(torch.load(path, weights_only=True)["x"], torch.zeros(10))
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_a_run_whose_disk_is_full_ends_in_one_line(tmp_path: Path):
    """The limit on the size of a file, here 30 kB, stands for it."""
    words = [*VQVAE, *IMAGES, f"run_dir={tmp_path / 'run'}"]
    line = ["bash", "-c", 'ulimit -f 30; exec "$@"', "-", sys.executable, str(ROOT / "train.py"), *words]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert "could not be written" in done.stderr.splitlines()[-1]
    assert done.stderr.strip().endswith("go on with: python train.py resume=run")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize(
    "deadly", ["checkpoint_io.os.fsync", "Path.hardlink_to", "Path.replace"], ids=["writing", "keeping", "renaming"]
)
def test_a_kill_during_writing_leaves_the_checkpoint_before(tmp_path: Path, deadly: str):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"x": 1}, path)
    code = (
        "import os, signal, sys; from pathlib import Path; from vqgen.runs import checkpoint_io;"
        f"{deadly} = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "checkpoint_io.WholeCheckpointIO().save_checkpoint({'x': 2}, sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(path, weights_only=True) == {"x": 1}
    assert len(list(path.parent.iterdir())) > 1  # a remnant, which the next one clears away
    for x in (3, 4):
        WholeCheckpointIO().save_checkpoint({"x": x}, path)
    assert {p.name for p in path.parent.iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert torch.load(path.with_name("previous.ckpt"), weights_only=True) == {"x": 3}


def test_a_disk_without_second_names_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError("Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for x in (1, 2):
        WholeCheckpointIO().save_checkpoint({"x": x}, tmp_path / "last.ckpt")
    assert {p.name: torch.load(p, weights_only=True)["x"] for p in tmp_path.iterdir()} == {
        "last.ckpt": 2,
        "previous.ckpt": 1,
    }
