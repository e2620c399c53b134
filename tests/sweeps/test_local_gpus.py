"""`hydra/launcher=local_gpus`: one job a GPU, whatever becomes of the others. These GPUs are names that no job uses."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from hydra.types import HydraContext
from omegaconf import OmegaConf

from tests.conftest import ROOT, TINY, Command
from vqgen.errors import ConfigError
from vqgen.runs.leaderboard import job_at
from vqgen.sweeps import local_gpus

SHORT = [*TINY, "data.num_train=32", "trainer.max_epochs=1", "logger=csv", "callbacks=checkpoints"]
GPUS = ["-m", "hydra/launcher=local_gpus", "hydra.launcher.devices=[3,'5,6']"]
SEEN = """
import json, os, sys, time
from pathlib import Path
import pytorch_lightning as pl

class Seen(pl.Callback):
    def on_fit_start(self, trainer, pl_module):
        self.since = time.time()

    def teardown(self, trainer, pl_module, stage):
        if stage == "fit":
            seen = [os.environ["CUDA_VISIBLE_DEVICES"], self.since, time.time(), os.getpid()]
            Path(trainer.default_root_dir, "seen.json").write_text(json.dumps(seen))
            if Path(trainer.default_root_dir).name == "2":
                os.kill(os.getpid(), 9)
"""


@pytest.mark.long
@pytest.mark.slow
def test_each_job_sees_its_own_gpu_alone_and_outlives_the_failing_ones(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Four jobs for two GPUs: the second has a wrong value, and the process of the third is killed."""
    (tmp_path / "watch.py").write_text(SEEN)
    monkeypatch.setenv("VQGEN_PACKAGES", "watch")
    words = [*GPUS, *SHORT, "+callbacks.seen={_target_: watch.Seen}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = command("train.py", *words, "model.encoder.downsampling=4,3,8,2", cwd=tmp_path, modules=tmp_path)
    assert done.returncode == 1, done.stderr
    with (tmp_path / "sweep" / "leaderboard.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {Path(row["folder"]).name for row in rows if row["objective"]} == {"0", "3"}
    errors = {Path(row["folder"]).name: row["error"] for row in rows}
    assert "downsampling=3" in errors["1"]
    assert errors["2"].startswith("its process ended by SIGKILL: see '")
    seen = [json.loads((tmp_path / "sweep" / job / "seen.json").read_text()) for job in "023"]
    assert {gpu for gpu, *_ in seen} <= {"3", "5,6"}
    assert len({pid for *_, pid in seen}) == 3
    for one in seen:
        assert not [other for other in seen if other is not one and other[0] == one[0] and one[1] <= other[1] < one[2]]
    assert done.stdout.count("GPU 3: job ") + done.stdout.count("GPU 5,6: job ") == 8  # beginnings and ends
    assert "Run folder: " in (tmp_path / "sweep" / "0" / "output.log").read_text()
    assert "Run folder: " not in done.stdout


@pytest.mark.long
@pytest.mark.slow
def test_a_signal_ends_the_jobs_saved_and_starts_no_other(tmp_path: Path):
    number, sweep = signal.SIGTERM, tmp_path / "sweep"
    words = [*GPUS, *SHORT, "trainer.max_epochs=100000", "seed=0,1,2", f"hydra.sweep.dir={sweep}"]
    line = [sys.executable, str(ROOT / "train.py"), *words]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 200
        while len(list(sweep.glob("*/checkpoints/last.ckpt"))) < 2 and time.monotonic() < until:
            assert process.poll() is None, process.stderr
            time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 143, err
    assert f"stopped: by {number.name}; the same words with hydra.sweep.dir go on" in err
    assert "Traceback" not in err
    assert not (sweep / "2").exists()
    for job in ("0", "1"):
        found = job_at(sweep / job)
        assert found is not None
        assert f"by {number.name} at step" in str(found.error)
        assert not (sweep / job / "in_use.lock").exists()
    assert "| failed: by" in out


def test_the_gpus_are_those_that_a_process_would_see(monkeypatch: pytest.MonkeyPatch):
    def counted(*_: object, **__: object) -> object:
        return subprocess.CompletedProcess([], 0, stdout=b"2\n")

    monkeypatch.setattr(local_gpus.subprocess, "run", counted)
    for visible, gpus in (("", ["0", "1"]), ("4,7", ["4", "7"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])):
        monkeypatch.setitem(os.environ, local_gpus.VISIBLE, visible)
        assert local_gpus.gpus() == gpus


@pytest.mark.parametrize(
    ("devices", "told"),
    [([], "hydra/launcher=local_gpus: this machine has no GPU"), ([0, 0], r"devices=\[0,0\]: one GPU is named twice")],
)
def test_without_a_gpu_or_with_one_named_twice_a_line_says_so(devices: list[int], told: str):
    with pytest.raises(ConfigError, match=told):
        local_gpus.LocalGPUs(devices).setup(
            hydra_context=Mock(spec=HydraContext), task_function=Mock(), config=OmegaConf.create()
        )
