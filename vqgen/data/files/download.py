"""Fetching a file whose checksum is known."""

import hashlib
import urllib.request
from pathlib import Path

from tqdm import tqdm

from vqgen.errors import DataError
from vqgen.runs.atomic import alone, replacing, require_space, writing

_TIMEOUT = 20.0   # seconds without an answer
_BLOCK = 2**16


def download(url: str, path: Path, md5: str) -> None:
    """Put what `url` holds at `path`, unless it is there. A download that fails leaves nothing.

    Raises OSError without network, and DataError where the checksum is wrong or the disk is full.
    """
    with alone(path):
        if path.exists():
            return
        with replacing(path) as temporary:
            found = _fetch(url, temporary)
            if found != md5:
                raise DataError(f"What {url} holds has the MD5 checksum {found} and should have {md5}.")


def _fetch(url: str, path: Path) -> str:
    """The MD5 checksum of what was written."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, open(path, "wb") as file:
        size = int(response.headers.get("Content-Length") or 0)
        require_space(path.parent, size, "root")
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=path.name.strip(".").split(".part")[0]) as bar:
            while block := response.read(_BLOCK):
                with writing(path.parent, size, "root"):
                    file.write(block)
                digest.update(block)
                bar.update(len(block))
    return digest.hexdigest()
