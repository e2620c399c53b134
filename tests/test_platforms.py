"""Windows and macOS, as far as Linux can show them: what is missing there, and how processes start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY

PRETEND = """
import importlib, os, pkgutil, shutil, signal, sys
from types import SimpleNamespace

def load():
    import vqgen
    for module in pkgutil.walk_packages(vqgen.__path__, "vqgen."):
        importlib.import_module(module.name)

load()  # the libraries, which are told the truth
for name in [name for name in sys.modules if name.partition(".")[0] == "vqgen"]:
    del sys.modules[name]
sys.platform = PLATFORM
if sys.platform == "win32":
    from pytorch_lightning.trainer.connectors import signal_connector
    signal_connector._IS_WINDOWS = True  # which it has asked when it was imported
    shutil._winapi = SimpleNamespace(NeedCurrentDirectoryForExePath=lambda _: False)
    signal.valid_signals = lambda: {signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV}
    for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline"):
        sys.modules[name] = None
    for name in ("fork", "register_at_fork", "getuid", "geteuid", "killpg", "getpgid", "setsid", "statvfs", "mkfifo"):
        delattr(os, name)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGALRM", "SIGCHLD", "SIGXCPU", "SIGTSTP"):
        delattr(signal, name)
load()
"""
SPAWN = """
import multiprocessing

from train import main

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
"""


def run(script: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    script.write_text(text)
    env = os.environ | {"PYTHONPATH": str(ROOT), "USERNAME": "user"}  # which Windows always sets
    line = [sys.executable, str(script), *words]
    return subprocess.run(line, cwd=script.parent, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_every_module_is_imported_and_a_run_trains_where_posix_is_missing(platform: str, tmp_path: Path):
    """Imported first as it is, for the libraries below: they are others there."""
    text = PRETEND.replace("PLATFORM", repr(platform)) + "from train import main\nmain()\n"
    done = run(tmp_path / "start.py", text, "run_dir=run", "logger=csv", *TINY)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
def test_workers_that_are_spawned_fetch_batches(tmp_path: Path):
    """As on Windows and macOS: the worker begins with an empty memory, and is handed all that it needs."""
    words = ["run_dir=run", "logger=csv", "data=shapes", *TINY, "data.num_workers=1"]
    done = run(tmp_path / "start.py", SPAWN, *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()
