"""A forked command ends, prints and is killed as a Python that was started for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import python

SCRIPTS = {
    "ends": "import sys; print(sys.argv); print('said', file=sys.stderr)",
    "exits": "import sys; sys.exit(3)",
    "exits with words": "import sys; sys.exit('words')",
    "raises": "raise ValueError('words')",
    "is killed": "import os; os.kill(os.getpid(), 9)",
    "ends late": "import atexit; atexit.register(print, 'late')",
    "has variables": "import os; print(sorted(os.environ), os.getcwd(), __name__, __file__)",
    "has parents": "import multiprocessing as m; print(m.parent_process(), m.get_start_method())",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_forked_command_is_like_one_that_was_started(name: str, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPTS[name])
    env = os.environ | {"MINE": "1"}
    line = [sys.executable, str(script), "a", "b"]
    started = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    forked = python(str(script), "a", "b", cwd=tmp_path, env=env)
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired):
        python(str(script), cwd=tmp_path, timeout=10)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)  # asks whether it is there
