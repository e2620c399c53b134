"""Makes requirements.lock of what `uv pip compile` prints: uv pip compile ... | python -m tests.versions.lock WHEEL...

The libraries of CUDA, which only some builds of torch need, go to requirements-cuda.lock. The hashes of the wheels that
are given (builds of torch without CUDA) stand beside the others of torch.
"""

import hashlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]
CUDA = re.compile(r"nvidia-|cuda-|triton==")
HEADS = {
    "requirements.lock": "# pip install --require-hashes -r requirements.lock: what vqgen needs (made by `make lock`)",
    "requirements-cuda.lock": "# beside requirements.lock, for a build of torch with CUDA (made by `make lock`)",
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
