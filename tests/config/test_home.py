"""A user without a home and without a name, as in a container with a bare user number, trains like any other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY
from vqgen.config.overrides import at_home
from vqgen.errors import ConfigError

NOBODY = """
import pwd
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
"""


@pytest.mark.slow
def test_a_training_with_wandb_needs_no_home_and_no_name(tmp_path: Path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "sitecustomize.py").write_text(NOBODY)
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{tmp_path / 'modules'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
    }
    line = [sys.executable, str(ROOT / "train.py"), *TINY, "trainer.max_epochs=1", "run_dir=run"]
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert re.search(r"W&B: offline \(no credentials for https://\S+: `wandb login` or WANDB_API_KEY", done.stdout)
    assert not list(tmp_path.glob("vqgen-home-*"))  # the home that was lent is gone


def test_a_tilde_without_a_home_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert at_home("data.root=/x") == "data.root=/x"
    with pytest.raises(ConfigError, match=r"data.root=~/x: ~ stands for no folder here, as HOME is not set"):
        at_home("data.root=~/x")
