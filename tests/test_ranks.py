"""Real processes on gloo, started through train.py: they end as one process on the joined batch does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import ROOT, Command

pytestmark = pytest.mark.slow

WORDS = [  # 20 steps of 8 images of noise, whose features are far from ties; codes die and are revived
    "model=vqvae2",
    "model.hidden_channels=8",
    "model.residual_channels=8",
    "model.quantizer.num_embeddings=8",
    "model.quantizer.embedding_dim=4",
    "model.quantizer.revive_below=0.6",
    "data=folder",
    "data.size=32",
    "data.num_workers=0",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "callbacks=checkpoints",
]
ON_CPU = ["hardware.accelerator=cpu", "hardware.precision=32-true", "data.batch_size=4"]
PORT = 29500 + os.getpid() % 1000


def weights(run: Path) -> dict[str, torch.Tensor]:
    contents = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert contents["global_step"] == 20
    return contents["state_dict"]


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Where the images are, as options."""
    folder, generator = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for split, number in (("train", 80), ("val", 16), ("test", 16)):
        (folder / "images" / split).mkdir(parents=True)
        for i in range(number):
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / split / f"{i:03}.png")
    return [*WORDS, f"data.root={folder / 'images'}", f"data_dir={folder / 'data'}"]


@pytest.fixture(scope="module")
def alone(command: Command, noise: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process with the joined batch."""
    run = tmp_path_factory.mktemp("alone") / "run"
    done = command("train.py", *noise, "hardware=cpu", "data.batch_size=8", "logger=csv", f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    return run


def assert_close(run: Path, expected: dict[str, Any]) -> None:
    found = weights(run)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_codes_are_revived_in_this_test(command: Command, noise: list[str], alone: Path, tmp_path: Path):
    words = [*noise, "hardware=cpu", "data.batch_size=8", "logger=csv", "model.quantizer.revive_below=0"]
    assert command("train.py", *words, f"run_dir={tmp_path / 'run'}").returncode == 0
    without, name = weights(tmp_path / "run"), "encoder.quantizers.0.counts"
    assert not torch.allclose(without[name], weights(alone)[name], rtol=0.1)


def test_two_processes_of_one_machine_end_as_one_on_the_joined_batch(
    command: Command, noise: list[str], alone: Path, tmp_path: Path
):
    done = command("train.py", *noise, "hardware=ddp", "hardware.devices=2", *ON_CPU, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()  # one run folder, and nothing beside it
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}
    assert len(list(run.glob("wandb/offline-run-*"))) == 1
    assert done.stdout.count("Run folder:") + done.stderr.count("Run folder:") == 1
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == len((alone / "metrics.csv").read_text().splitlines())
    assert_close(run, weights(alone))


def test_two_machines_under_torchrun_end_as_one_process_on_the_joined_batch(
    noise: list[str], alone: Path, tmp_path: Path
):
    run = tmp_path / "run"
    nodes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nnodes=2",
                "--nproc-per-node=1",
                f"--node-rank={node}",
                "--master-addr=127.0.0.1",
                f"--master-port={PORT}",
                str(ROOT / "train.py"),
                *noise,
                *ON_CPU,
                "hardware=multinode",
                "hardware.devices=1",
                "hardware.num_nodes=2",
                "logger=csv",
                f"run_dir={run}",
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in range(2)
    ]
    logs = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], logs
    assert_close(run, weights(alone))


def slurm(folder: Path, words: list[str], place: str, restarts: int = 0) -> list[tuple[int, str]]:
    """Exit status and errors of two tasks of a job, as srun would start them; the second one is sent a signal."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "scontrol").write_text(f"#!/bin/sh\necho $@ >> {folder / 'scontrol.txt'}\n")
    (folder / "bin" / "scontrol").chmod(0o755)
    job = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "SLURM_JOB_ID": str(PORT),
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_RESTART_COUNT": str(restarts),
        "PYTHONPATH": str(ROOT),
    }
    programs = [[str(ROOT / "train.py")], ["-m", "tests.killed", place] if place else [str(ROOT / "train.py")]]
    tasks = [
        subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=job | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank, program in enumerate(programs)
    ]
    errors = [task.communicate(timeout=300)[1] for task in tasks]
    return [(task.returncode, error) for task, error in zip(tasks, errors, strict=True)]


@pytest.mark.long
def test_a_job_that_slurm_queues_again_goes_on_in_its_run_and_ends_as_one_process(
    noise: list[str], alone: Path, tmp_path: Path
):
    words = [*noise, *ON_CPU, "hardware=ddp", "hardware.devices=2", "logger=csv"]
    (status, errors), (_, other) = slurm(tmp_path, words, "13:SIGUSR1")
    assert status == 143, errors
    run = tmp_path / "runs" / f"slurm_{PORT}"
    assert f"at step 14, saved in '{run.relative_to(tmp_path) / 'checkpoints' / 'last.ckpt'}'" in errors
    assert errors.strip().endswith("the job is queued again")
    assert (tmp_path / "scontrol.txt").read_text() == f"requeue {PORT}\n"
    assert "Traceback" not in errors + other
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 14
    for status, errors in slurm(tmp_path, words, "", restarts=1):
        assert status == 0, errors
    assert_close(run, weights(alone))
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == len((alone / "metrics.csv").read_text().splitlines())
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [run.name]


def test_torchrun_without_a_run_folder_is_told_that_one_is_needed(command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    done = command("train.py")
    assert done.returncode == 2
    assert "run_dir=FOLDER is needed where torchrun starts the processes" in done.stderr
