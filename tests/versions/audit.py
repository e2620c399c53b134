"""Known vulnerabilities of what the lock names, where the list of them is reached: python -m tests.versions.audit."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

LOCKS = [str(path) for path in sorted(Path(__file__).parents[2].glob("*.lock"))]
_PATIENCE = 3  # seconds that the service may take for the first answer
_AUDIT = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner=off"]


def unreached() -> str | None:
    """Why nothing can be asked; None where the service answers."""
    if not find_spec("pip_audit"):
        return "pip-audit is not installed"
    asked = [*_AUDIT, "--requirement=/dev/stdin", f"--timeout={_PATIENCE}", "--format=json"]
    try:
        done = subprocess.run(asked, input="pip==26.0", capture_output=True, text=True, timeout=_PATIENCE, check=False)
        skipped = "skip_reason" in json.loads(done.stdout)["dependencies"][0]
    except (subprocess.TimeoutExpired, ValueError):
        skipped = True
    return "the list of vulnerabilities is not reached" if skipped else None


if __name__ == "__main__":
    if reason := unreached():
        print(f"audit: skipped, {reason}")
    else:
        sys.exit(subprocess.run([*_AUDIT, *(f"--requirement={lock}" for lock in LOCKS)], check=False).returncode)
