"""Makes requirements.lock of what `uv pip compile` prints: uv pip compile ... | python -m tests.versions.lock CPU_WHEEL...

The libraries of CUDA, which only some builds of torch need, go to requirements-cuda.lock. The hash of each wheel that is
given (a build of torch without CUDA) is put beside those of torch.
"""

import hashlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]
CUDA = re.compile(r"nvidia-|cuda-|triton==")
HEADS = {
    "requirements.lock": "# What the two commands need, with hashes: pip install --require-hashes -r requirements.lock",
    "requirements-cuda.lock": "# Beside requirements.lock, for a build of torch with CUDA: pip install --require-hashes "
    "-r requirements.lock -r requirements-cuda.lock",
}


def split(text: str, wheels: list[Path]) -> dict[str, list[str]]:
    """The entries of each file, in the order of their names."""
    files: dict[str, list[str]] = {name: [] for name in HEADS}
    for entry in re.findall(r"^\S.*?(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL):
        found = [f"    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" for wheel in wheels]
        of_torch = entry.startswith("torch==")
        files["requirements-cuda.lock" if CUDA.match(entry) else "requirements.lock"].append(
            " \\\n".join([entry.rstrip(), *(found if of_torch else [])])
        )
    return files


if __name__ == "__main__":
    for name, entries in split(sys.stdin.read(), [Path(word) for word in sys.argv[1:]]).items():
        (HERE / name).write_text("\n".join([HEADS[name], *entries]) + "\n")
