"""Hashes of what is in files and arrays."""

import hashlib
import json

import numpy as np
from numpy import ndarray


def digest(*parts: object) -> str:
    """A hash of arrays and plain values (16 hexadecimal digits)."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, ndarray):
            sha.update(f"{part.dtype.str} {part.shape}".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            sha.update(json.dumps(part, sort_keys=True).encode())
    return sha.hexdigest()[:16]


def of_file(path: str | bytes) -> bytes:
    """A hash of the bytes of a file; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()[:16]
    except OSError:
        return b""
