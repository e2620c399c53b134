"""Makes the locks of what `uv pip compile` prints: uv pip compile ... | python -m tests.versions.lock WHEEL.

requirements.lock has all but torch. requirements-cuda.lock has torch as PyPI has it (with CUDA on Linux, and its
libraries), requirements-cpu.lock the wheel that is given, a build without CUDA.
"""

import hashlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]
CUDA = re.compile(r"torch==|nvidia-|cuda-|triton==")
HEADS = {
    "requirements.lock": "# what vqgen needs beside torch (made by `make lock`):\n"
    "# pip install --require-hashes -r requirements.lock -r requirements-cuda.lock, or -r requirements-cpu.lock",
    "requirements-cuda.lock": "# torch as PyPI has it, with CUDA on Linux (made by `make lock`)",
    "requirements-cpu.lock": "# torch for Linux without CUDA (made by `make lock`)",
}


def split(text: str, wheel: Path) -> dict[str, list[str]]:
    """The entries of each file, in the order of their names."""
    entries = [entry.rstrip() for entry in re.findall(r"^\S.*?(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL)]
    version, digest = wheel.name.split("-")[1], hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {
        "requirements.lock": [entry for entry in entries if not CUDA.match(entry)],
        "requirements-cuda.lock": [entry for entry in entries if CUDA.match(entry)],
        "requirements-cpu.lock": [f"torch=={version} \\\n    --hash=sha256:{digest}"],
    }


if __name__ == "__main__":
    for name, entries in split(sys.stdin.read(), Path(sys.argv[1])).items():
        (HERE / name).write_text("\n".join([HEADS[name], *entries]) + "\n")
