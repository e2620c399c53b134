import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.conftest import ROOT
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen.environment.threads import SPINS, wait_briefly
from vqgen.training import threads

WORDS = ["model=vqvae", *NETWORK, *IMAGES, *SMALL]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process in which nobody has asked for a number of threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the threads at the end of every training batch."""
    seen: list[int] = []

    def noted(self: Any, *given: Any) -> None:
        original(self, *given)
        seen.append(torch.get_num_threads())

    original = threads.Threads.on_train_batch_end
    monkeypatch.setattr(threads.Threads, "on_train_batch_end", noted)
    return seen


def given() -> tuple[pl.LightningModule, pl.Trainer]:
    return pl.LightningModule(), pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("small", "number"), [(1e12, 1), (1.0, 2)])
def test_the_flops_of_a_step_decide(small: float, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    said: list[str] = []
    monkeypatch.setattr(threads, "rank_zero_info", said.append)
    monkeypatch.setattr(threads, "SMALL", small)
    seen = used(monkeypatch)
    train_in(tmp_path / "run", WORDS)
    assert seen == [2, number]  # codebooks start in the first batch, which does not count
    assert torch.get_num_threads() == 2
    assert ["one thread computes it. OMP_NUM_THREADS=2 takes 2" in line for line in said] == [True] * (number == 1)
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=False)
    assert state["callbacks"]["Threads"] == {"by_one": number == 1, "batches": 2}


@pytest.mark.usefixtures("two_threads")
def test_what_the_user_says_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(threads, "SMALL", 1e12)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    seen = used(monkeypatch)
    train_in(tmp_path / "run", WORDS)
    assert seen == [2, 2]


@pytest.mark.usefixtures("two_threads")
def test_a_run_that_goes_on_takes_its_threads_from_its_first_step_on():
    callback = threads.Threads()
    callback.load_state_dict({"by_one": True, "batches": 5})
    model, trainer = given()
    callback.on_train_start(trainer, model)
    assert torch.get_num_threads() == 1
    callback.on_train_batch_start(trainer, model, None, 0)
    callback.on_train_batch_end(trainer, model, None, None, 0)
    assert callback.state_dict() == {"by_one": True, "batches": 6}
    callback.teardown(trainer, model, "fit")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_step_that_fails_is_not_counted_further():
    callback = threads.Threads()
    model, trainer = given()
    callback.on_train_batch_start(trainer, model, None, 0)
    callback.on_train_batch_start(trainer, model, None, 1)
    torch.set_num_threads(1)
    callback.on_exception(trainer, model, KeyboardInterrupt())
    assert torch.get_num_threads() == 2
    callback.on_train_batch_end(trainer, model, None, None, 0)
    assert callback.state_dict()["by_one"] is None


@pytest.mark.parametrize("said", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_threads_wait_briefly_unless_the_user_says_otherwise(said: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == (said.get("GOMP_SPINCOUNT") if said else str(SPINS))


def test_the_programs_load_torch_after_that():
    line = "import sys, vqgen.programs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], cwd=ROOT, check=False).returncode == 0
