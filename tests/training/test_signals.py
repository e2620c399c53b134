"""A run that is asked to stop saves first, ends in all its processes, and says how to go on."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, Command
from tests.processes import python

pytestmark = pytest.mark.slow

STEPS = 6  # of an epoch
WORDS = [
    "data.size=16",
    "data.num_train=48",
    "data.num_val=16",
    "data.num_test=16",
    "data.batch_size=8",
    "model.encoder.hidden_channels=8",
    "model.encoder.residual_channels=8",
    "model.quantizer.num_embeddings=8",
    "model.quantizer.embedding_dim=4",
    "trainer.max_epochs=10000",
    "trainer.enable_progress_bar=false",
    "logger=csv",
    "callbacks=checkpoints",
    "hardware=cpu",
]
TWO = [
    "hardware=ddp",
    "hardware.devices=2",
    "hardware.accelerator=cpu",
    "hardware.precision=32-true",
    "hardware.num_workers=0",
    "data.batch_size=4",
]


Start = Callable[[Path, list[str]], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a run in a process group of its own and give it after its first epoch; nothing of it outlives the test."""
    groups: list[int] = []

    def started(run: Path, words: list[str]) -> subprocess.Popen[str]:
        line = [sys.executable, str(ROOT / "train.py"), *words, f"run_dir={run}"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        groups.append(process.pid)
        while process.poll() is None and not (run / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.1)
        return process

    yield started
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def step_of(run: Path, name: str = "last") -> int:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"]


def alive(group: int) -> list[str]:
    """Processes of a group, but for those that are only to be waited for."""
    rows = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    split = [row.split(maxsplit=2) for row in rows.splitlines()]
    return [args for number, stat, args in split if number == str(group) and not stat.startswith("Z")]


def assert_ends(group: int) -> None:
    """No process of the group is left after a while."""
    until = time.monotonic() + 60
    while alive(group) and time.monotonic() < until:
        time.sleep(0.2)
    assert not alive(group)


def assert_stopped(run: Path, name: str, errors: str) -> None:
    assert "Traceback" not in errors
    assert errors.count("stopped: ") == errors.count("once more stops it at once") == 1  # of several processes
    step = step_of(run)
    assert f"stopped: by {name} at step {step}, saved in" in errors
    assert errors.strip().endswith(f"python train.py resume={run}")
    assert not (run / "checkpoints" / "previous.ckpt").exists() or step_of(run, "previous") < step  # saved once


@pytest.mark.long
@pytest.mark.parametrize("to_group", [False, True], ids=["to the main process", "to all processes"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_processes_stop_as_one(
    number: signal.Signals, to_group: bool, start: Start, command: Command, tmp_path: Path
):
    run = tmp_path / "run"
    process = start(run, [*WORDS, *TWO])
    (os.killpg if to_group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert_ends(process.pid)
    assert_stopped(run, number.name, errors)
    if to_group:
        step = step_of(run)
        done = command("train.py", f"resume={run}", f"trainer.max_epochs={step // STEPS + 1}")
        assert done.returncode == 0, done.stderr
        assert step_of(run) == (step // STEPS + 1) * STEPS


@pytest.mark.parametrize("piped", [False, True], ids=["to the terminal", "to a program that ends with it"])
def test_a_run_whose_terminal_is_closed_saves(piped: bool, tmp_path: Path):
    """With a progress bar, whose next word would be an error."""
    run, (ours, theirs) = tmp_path / "run", os.openpty()
    words = [word for word in WORDS if "progress_bar" not in word]
    words += ["data.num_train=20000", "callbacks.last.every_n_steps=2"]  # within an epoch: a stop comes a step later
    line = " ".join([sys.executable, str(ROOT / "train.py"), *words, f"run_dir={run}"])
    shell = ["bash", "-c", f"{line} 2>&1 | cat" if piped else line]
    process = subprocess.Popen(shell, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    threading.Thread(target=_read_all, args=[ours], daemon=True).start()
    until = time.monotonic() + 200
    while process.poll() is None and not (run / "checkpoints" / "last.ckpt").exists() and time.monotonic() < until:
        time.sleep(0.1)
    before = step_of(run)
    os.killpg(process.pid, signal.SIGHUP)  # as the kernel does to what runs in the foreground
    os.close(ours)
    process.wait(timeout=120)
    assert_ends(process.pid)
    lock = run / "in_use.lock"
    assert not lock.exists()  # it ended by itself
    assert step_of(run) > before


def _read_all(file: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(file, 4096):
            pass


def test_the_same_signal_twice_at_once_is_one_and_later_it_ends_the_run(start: Start, tmp_path: Path):
    """torchrun, timeout and others send it to a process and to the group of that process."""
    run = tmp_path / "run"
    process = start(run, WORDS)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert_stopped(run, "SIGINT", errors)


@pytest.mark.long
def test_a_second_signal_ends_all_processes_at_once(start: Start, tmp_path: Path):
    run = tmp_path / "run"
    process = start(run, [*WORDS, *TWO, "data.num_val=20000"])  # with a long validation to interrupt
    time.sleep(1.5)
    process.terminate()
    time.sleep(1.5)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM, errors
    assert_ends(process.pid)
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("place", "message", "epochs"),
    [
        ("start", "stopped: by SIGTERM at step 0, nothing was saved yet; go on with", 1),
        ("end", "stopped: by SIGTERM before the test was over, saved in", 1),
        ("test", "stopped: by SIGTERM before the test was over, saved in", 1),
    ],
)
def test_a_signal_outside_of_the_training_loses_nothing(
    place: str, message: str, epochs: int, command: Command, tmp_path: Path
):
    run = tmp_path / "run"
    words = [*WORDS, f"trainer.max_epochs={epochs}", f"run_dir={run}", "data.batch_size=4"]  # two batches of the test
    stopped = python("-m", "tests.killed", place, *words, cwd=ROOT)
    assert stopped.returncode == 143, stopped.stderr
    assert message in stopped.stderr
    assert "Traceback" not in stopped.stderr
    done = command("train.py", f"resume={run}")
    assert done.returncode == 0, done.stderr
    assert "Test: " in done.stdout + done.stderr
    assert step_of(run) == 12 * epochs
