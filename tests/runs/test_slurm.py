"""Under SLURM, played by its variables: each command of a job has a run of its own, and finds it again."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY, composed
from tests.processes import python
from vqgen.config.resume import placed
from vqgen.environment.launcher import is_first, local_rank, slurm_job, slurm_port, slurm_restarts, started_by_first
from vqgen.errors import ConfigError, FolderError
from vqgen.experiment import plain
from vqgen.runs import slurm
from vqgen.runs.claim import claimed, let_go
from vqgen.runs.folders import COMPOSED
from vqgen.training.preparation import machine_of

NAMES = (
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_HET_JOB_ID",
    "SLURM_RESTART_COUNT",
    "SLURM_STEP_ID",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "SLURM_LOCALID",
    "SLURM_NTASKS_PER_NODE",
)


@pytest.fixture(autouse=True)
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job 7, in its first life."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for name in ("SLURM_NODEID", "SLURM_LOCALID", "SLURM_PROCID"):  # Lightning asks for them
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("MASTER_PORT", "15007")  # put back after a test that settles it
    monkeypatch.chdir(tmp_path)


def begun(words: list[str], resumed: bool = False) -> str:
    """Start a command, and end it after its run began; the folder that it got."""
    word = placed(words).words[0 if resumed else -1]
    key, _, folder = word.partition("=")
    assert key == ("resume" if resumed else "run_dir")
    Path(folder, COMPOSED).touch()
    let_go(Path(folder))
    return folder


def test_each_command_of_a_job_finds_its_own_run_again(monkeypatch: pytest.MonkeyPatch):
    commands = [["seed=1"], ["seed=2"], ["seed=1"]]  # two of them alike
    folders = ["runs/slurm_7", "runs/slurm_7_2", "runs/slurm_7_3"]
    assert [begun(words) for words in commands[:2]] == folders[:2]  # the third has not begun yet
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert [begun(words, resumed=True) for words in commands[:2]] == folders[:2]
    assert begun(commands[2]) == folders[2]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert [begun(words, resumed=True) for words in commands] == folders
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert begun(commands[0]) == "runs/slurm_8"


def test_commands_at_the_same_time_have_runs_of_their_own():
    assert placed(["seed=1"]).words[-1] == "run_dir=runs/slurm_7"
    code = "from vqgen.config.resume import placed; print(placed(['seed=1']).words[-1])"
    line = [sys.executable, "-c", f"import sys; sys.path.insert(0, '{ROOT}'); {code}"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == "run_dir=runs/slurm_7_2\n"
    let_go(Path("runs/slurm_7"))


def test_a_folder_that_two_commands_name_is_that_of_the_first(monkeypatch: pytest.MonkeyPatch):
    assert placed(["run_dir=r", "seed=1"]).words == ["run_dir=r", "seed=1"]
    (Path("r") / COMPOSED).touch()
    (Path("r") / "checkpoints").mkdir()
    (Path("r") / "checkpoints" / "last.ckpt").touch()
    let_go(Path("r"))
    for restarts in ("0", "1"):
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        with pytest.raises(FolderError, match="'r' holds a run already"):
            placed(["run_dir=r", "seed=2"])
        let_go(Path("r"))
    assert placed(["run_dir=r", "seed=1"]).words == ["resume=r", "trust=true"]
    let_go(Path("r"))


def test_a_sweep_goes_on_in_its_folder(monkeypatch: pytest.MonkeyPatch):
    expected = ["--multirun", "seed=0,1", "hydra.sweep.dir=multirun/slurm_7"]
    assert placed(["--multirun", "seed=0,1"]).words == expected
    let_go(Path("multirun/slurm_7"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert placed(["--multirun", "seed=0,1"]).words == expected
    let_go(Path("multirun/slurm_7"))
    assert placed(["--multirun", "seed=0,1,2"]).words[-1] == "hydra.sweep.dir=multirun/slurm_7_2"
    let_go(Path("multirun/slurm_7_2"))


def test_a_run_that_a_version_without_records_began_is_found(monkeypatch: pytest.MonkeyPatch):
    folder = Path("runs/slurm_7")
    folder.mkdir(parents=True)
    (folder / COMPOSED).touch()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert begun(["seed=1"], resumed=True) == str(folder)


def test_the_other_processes_of_a_step_have_the_folder_of_the_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_STEP_ID", "1")
    monkeypatch.setenv("SLURM_PROCID", "1")
    record = {"job": "7", "restart": 0, "step": "1", "words": ["seed=1"], "goes_on": False}
    for name, differing in (("slurm_7", {"step": "0"}), ("slurm_7_2", {"words": []}), ("slurm_7_3", {})):
        Path("runs", name).mkdir(parents=True)
        if differing:
            Path("runs", name, slurm.RECORD).write_text(json.dumps(record | differing))
    later = threading.Timer(0.5, Path("runs/slurm_7_3", slurm.RECORD).write_text, [json.dumps(record)])
    later.start()
    assert placed(["seed=1"]).words == ["seed=1", "run_dir=runs/slurm_7_3"]
    Path("runs/slurm_7_3", slurm.RECORD).write_text(json.dumps(record | {"goes_on": True}))
    assert placed(["seed=1"]).words == ["resume=runs/slurm_7_3", "trust=true"]
    monkeypatch.setattr(slurm, "_PATIENCE", 0.1)
    with pytest.raises(ConfigError, match="the first process of this run has taken no folder"):
        placed(["seed=2"])


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "7"),
        ({"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3"}, "5_3"),
        ({"SLURM_HET_JOB_ID": "6"}, "6"),
        ({"SLURM_JOB_NAME": "interactive"}, None),
    ],
)
def test_a_job_has_the_name_that_scontrol_knows(
    variables: dict[str, str], name: str | None, monkeypatch: pytest.MonkeyPatch
):
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert slurm_job() == name


@pytest.mark.parametrize(
    ("variables", "first", "started"),
    [
        ({}, True, False),
        ({"SLURM_PROCID": "1"}, False, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False, True),  # started by Lightning in a job of one task
        ({"SLURM_PROCID": "0", "RANK": "1", "LOCAL_RANK": "0"}, False, False),  # torchrun in a job
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False, False),
    ],
)
def test_one_process_is_the_first(
    variables: dict[str, str], first: bool, started: bool, monkeypatch: pytest.MonkeyPatch
):
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert (is_first(), started_by_first()) == (first, started)


@pytest.mark.slow
def test_a_task_of_an_array_queues_itself_again_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And a second command, alike but for its seed, that began before the first one's end was known."""
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho $@ >> {tmp_path / 'said'}\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "100")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    words = [*TINY, "logger=csv", "callbacks=checkpoints"]
    stopped = python("-m", "tests.killed", "4:SIGUSR1", *words, cwd=Path.cwd())
    assert stopped.returncode == 143, stopped.stderr
    assert (tmp_path / "said").read_text() == "requeue 100_3\n"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with claimed(Path("runs/slurm_100_3")):  # as if the first command ran again
        other = python(str(ROOT / "train.py"), *words, "seed=1", "trainer.max_epochs=1", cwd=Path.cwd())
    assert other.returncode == 0, other.stderr
    assert "Run folder: runs/slurm_100_3_2" in other.stdout
    done = python(str(ROOT / "train.py"), *words, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert "Run folder: runs/slurm_100_3 " in done.stdout


@pytest.mark.parametrize(
    ("variables", "words", "told"),
    [
        (
            {"SLURM_NTASKS": "1"},
            ["hardware.devices=2"],
            "hardware.devices=2: the run has 2 processes, and SLURM starts 1",
        ),
        (
            {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_STEP_ID": "0"},
            [],
            "hardware.devices=1: the run has 1 process, and SLURM starts 2",
        ),
    ],
)
def test_processes_that_slurm_does_not_start_are_not_done_without(
    variables: dict[str, str], words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
):
    """Lightning would train with as many as there are, in silence."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = plain(composed(["model=vqvae", "hardware=cpu", *words]))
    with pytest.raises(ConfigError, match=told):
        machine_of(config)
    monkeypatch.delenv("SLURM_NTASKS")
    assert machine_of(config).device.type == "cpu"


def test_a_process_that_waits_for_tasks_without_srun_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    with pytest.warns(UserWarning, match="not started by srun, as it seems .*: this waits for 1 other tasks"):
        machine_of(plain(composed(["model=vqvae", "hardware=cpu", "hardware.devices=2"])))


def test_steps_of_a_job_at_the_same_time_meet_in_places_of_their_own(monkeypatch: pytest.MonkeyPatch):
    ports = []
    for step in range(40):
        monkeypatch.setenv("SLURM_STEP_ID", str(step))
        ports.append(slurm_port())
    assert ports[0] == 15007  # Lightning's
    assert len(set(ports)) == 40
    assert all(isinstance(port, int) and 15000 <= port < 25000 for port in ports)


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "SLURM_PROCID", "SLURM_LOCALID", "RANK", "LOCAL_RANK"])
def test_an_empty_variable_is_none(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "")
    assert slurm_restarts() == local_rank() == 0
    assert is_first()
    assert not started_by_first()
