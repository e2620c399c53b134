"""Commands of tests in processes of their own, forked from one that has imported torch already: four seconds less each.

Only packages of others are imported before the fork: a command still imports all of vqgen itself.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

_PRELOADED = [
    "torch._dynamo",
    "torch.distributed",
    "torch.utils.tensorboard",
    "torchmetrics.image",
    "matplotlib.figure",
]
_AT_START = ("PYTHON", "OMP_", "MKL_", "CUDA_", "TORCH", "TRITON_", "MPL", "LD_")  # read at the start of Python


def python(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `python words` (a script, or `-m` and a module, with its words), and return its exit code and output."""
    words, env = tuple(map(str, words)), dict(os.environ if env is None else env)
    is_module = words[0] == "-m"
    context = _server()
    if context is None or (words[0].startswith("-") and not is_module) or _at_start(env) != _at_start(os.environ):
        line = [sys.executable, *words]
        return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        process = context.Process(target=_run, args=(words, str(cwd), env, [str(file) for file in files]))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        code, texts = process.exitcode, [file.read_text() if file.exists() else "" for file in files]
        process.close()
        return subprocess.CompletedProcess([sys.executable, *words], code, *texts)


@cache
def _server() -> ForkServerContext | None:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_AT_START) and name != "PYTHONPATH"}


def _run(words: Sequence[str], cwd: str, env: Mapping[str, str], files: Sequence[str]) -> None:
    """What the forked process does: become a Python that was called with these words."""
    multiprocessing.set_start_method(None, force=True)
    multiprocessing.process._parent_process = None  # type: ignore[attr-defined]
    for number, file in enumerate(files, start=1):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    code = 1
    try:
        code = _code_of(words, env)
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code_of(words: Sequence[str], env: Mapping[str, str]) -> int:
    is_module = words[0] == "-m"
    first = os.getcwd() if is_module else str(Path(words[0]).resolve().parent)
    sys.path[:] = [first, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *_installed()]
    sys.argv = list(words[1:] if is_module else words)
    try:
        if is_module:
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _installed() -> list[str]:
    """The places that Python itself looks in: its library and its packages."""
    return [place for place in sys.path if Path(place).is_relative_to(sys.prefix) or place.startswith(sys.base_prefix)]
