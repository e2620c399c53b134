"""The folder of a run, a sweep or of results belongs to one process at a time, by whatever words it is named."""

import errno
import fcntl
import json
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

from tests.conftest import ROOT, TINY, Command
from vqgen.config import resolvers
from vqgen.config.resume import placed
from vqgen.errors import ConfigError, FolderError
from vqgen.runs import claim
from vqgen.runs.claim import LOCK, claimed, hold, let_go
from vqgen.tasks.results import results_folder

HOLD = (
    "import os, sys, time; from pathlib import Path; from vqgen.runs.claim import hold; hold(Path(sys.argv[1]));"
    "child = os.fork() if sys.argv[2:] else 1; os.write(1, b'%d\\n' % child); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, with a child such as a loader's worker, that holds the folder `run`."""
    line = [sys.executable, "-c", HOLD, str(tmp_path / "run"), "with a child"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]  # a child that has just begun still holds the lock
        assert "0\n" in said, said
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def test_a_folder_that_is_held_is_refused_by_who_holds_it_and_free_at_once_when_that_is_killed(
    holder: subprocess.Popen[str], tmp_path: Path
):
    with pytest.raises(FolderError, match=rf"run' is in use by process {holder.pid} on .*, since \d+-.*: wait"):
        hold(tmp_path / "run")
    holder.kill()  # its child lives on
    holder.wait()
    with claimed(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()
    assert not list((tmp_path / "run").iterdir())


def test_a_folder_is_held_by_a_process_as_a_whole(tmp_path: Path):
    hold(tmp_path)
    with claimed(tmp_path / "." / "x" / ".."):  # the same folder
        pass
    assert not list(tmp_path.iterdir())
    let_go(tmp_path)  # once more does no harm


def test_waiting_for_another_evaluation_is_long_enough(holder: subprocess.Popen[str], tmp_path: Path):
    subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {holder.pid}"])
    with claimed(tmp_path / "run", wait=20.0):
        assert (tmp_path / "run" / LOCK).exists()


def test_a_lock_left_on_another_machine_is_named_but_not_within_one_slurm_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    left = {"host": "node7", "pid": 5, "since": "2026-01-01 00:00:00", "slurm_job": "9"}
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    for job in ("9", "10"):
        (tmp_path / LOCK).write_text(json.dumps(left))
        monkeypatch.setenv("SLURM_JOB_ID", job)
        with claimed(tmp_path):
            pass
    (note,) = capsys.readouterr().err.splitlines()
    assert "was not let go of by process 5 on node7, SLURM job 9, since 2026-01-01" in note


def test_a_disk_without_locks_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with claimed(tmp_path):
        pass
    assert "knows no locks" in capsys.readouterr().err


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"):
        hold(tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "precious"


def test_two_calls_do_not_share_a_results_folder(holder: subprocess.Popen[str], tmp_path: Path):
    with pytest.raises(FolderError), results_folder(tmp_path, "sample", out=str(tmp_path / "run")):
        pass
    with results_folder(tmp_path, "sample") as one, results_folder(tmp_path, "sample") as two:
        assert one != two


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every program starts in the same second."""
    monkeypatch.chdir(tmp_path)
    return f"{resolvers._STARTED:%Y-%m-%d_%H-%M-%S}"


def test_starts_of_one_second_have_folders_of_their_own(started: str):
    assert [placed(["seed=1"]).words[-1] for _ in range(3)] == [
        f"run_dir=runs/{started}",
        f"run_dir=runs/{started}_2",
        f"run_dir=runs/{started}_3",
    ]
    sweeps = [["--multirun", "seed=0,1"], ["sweep=quantizer"], ["hydra.mode=MULTIRUN", "seed=0,1"]]
    placed_sweeps = [placed(words).words for words in sweeps]
    assert [words[-1] for words in placed_sweeps] == [
        f"hydra.sweep.dir=multirun/{started}",
        f"hydra.sweep.dir=multirun/{started}_2",
        f"hydra.sweep.dir=multirun/{started}_3",
    ]
    assert placed_sweeps[0][:2] == ["--multirun", "seed=0,1"]


@pytest.mark.parametrize(
    "words",
    [
        ["run_dir=a"],
        ["hydra.run.dir=a"],
        ["--multirun", "seed=0,1", "hydra.sweep.dir=a"],
        ["--cfg=job"],
    ],
)
def test_a_folder_that_was_named_stays_as_it_is(words: list[str], started: str, tmp_path: Path):
    assert placed(words).words == words
    assert not list(tmp_path.iterdir())


def test_a_sweep_by_a_config_is_one_by_its_words_as_hydra_1_4_asks_for(started: str):
    assert placed(["sweep=quantizer", "hydra.sweep.dir=a"]).words[-1] == "hydra.mode=MULTIRUN"
    assert placed(["sweep=quantizer"]).words[1] == "hydra.mode=MULTIRUN"
    assert "hydra.mode=MULTIRUN" not in placed(["sweep=quantizer", "hydra.mode=RUN"]).words


def test_a_run_folder_for_several_jobs_is_refused(started: str):
    with pytest.raises(ConfigError, match=r"run_dir=a: the jobs of a sweep .*; take hydra.sweep.dir=FOLDER"):
        placed(["--multirun", "seed=0,1", "run_dir=a"])


def test_a_sweep_that_does_not_begin_leaves_no_folder(command: Command, tmp_path: Path):
    done = command("train.py", "-m", "seed=0,1", "hydra/launcher=nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["train.py", "run_dir=RUN"],
        ["train.py", "hydra.run.dir=RUN"],
        ["train.py", "resume=RUN"],
        ["train.py", "-m", "seed=0,1", "hydra.sweep.dir=RUN"],
        ["sample.py", "run=RUN", "log=true"],
        ["sample.py", "run=RUN", "out=RUN", "task=reconstruct"],
    ],
)
def test_a_run_that_is_in_use_is_left_alone_by_every_way(vqvae_run: Path, command: Command, words: list[str]):
    before = {path: path.stat().st_mtime for path in vqvae_run.rglob("*")}
    with claimed(vqvae_run):
        script, *rest = [word.replace("RUN", str(vqvae_run)) for word in words]
        done = command(script, *rest)
        (vqvae_run / LOCK).unlink()  # not to be compared
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert f"' is in use by process {os.getpid()} on " in done.stderr
    assert {path: path.stat().st_mtime for path in vqvae_run.rglob("*") if path != vqvae_run} == {
        path: time for path, time in before.items() if path != vqvae_run
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra.run.dir=RUN"], "holds a run already"),
        (["-m", "seed=0,1", "hydra.sweep.dir=PARENT", "hydra.sweep.subdir=NAME"], "holds a run already"),
        (["-m", "resume=RUN"], "one run goes on at a time"),
        (["resume=RUN", "hydra.run.dir=elsewhere"], "a resumed run stays in its folder"),
    ],
)
def test_a_run_is_written_over_by_no_words_of_hydra(vqvae_run: Path, command: Command, words: list[str], message: str):
    last = vqvae_run / "checkpoints" / "last.ckpt"
    before = last.stat().st_mtime
    given = {"RUN": str(vqvae_run), "PARENT": str(vqvae_run.parent), "NAME": vqvae_run.name}
    for key, value in given.items():
        words = [word.replace(key, value) for word in words]
    done = command("train.py", *TINY, *words) if "resume" not in str(words) else command("train.py", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert last.stat().st_mtime == before
    assert not (vqvae_run / LOCK).exists()


@pytest.mark.slow
def test_a_run_that_runs_is_not_resumed_and_after_kill_9_it_is_at_once(command: Command, tmp_path: Path):
    run = tmp_path / "run"
    words = [*TINY, "logger=csv", "trainer.max_epochs=10000", f"run_dir={run}", "hardware.num_workers=1"]
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *words], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (run / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.1)
    refused = command("train.py", f"resume={run}")
    process.kill()
    process.wait()
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: '{run}' is in use by process {process.pid} on ")
    rows = len((run / "metrics.csv").read_text().splitlines())
    epoch = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] + 1
    done = command("train.py", f"resume={run}", f"trainer.max_epochs={epoch}")
    assert done.returncode == 0, done.stderr
    assert len((run / "metrics.csv").read_text().splitlines()) <= rows + 2
    assert claim.LOCK not in {path.name for path in run.iterdir()}
