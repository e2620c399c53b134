"""What the C library does with memory that is given back."""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of mallopt, in malloc.h of the GNU C library
_SAID = {"MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_"}


def keep_memory() -> bool:
    """Let this process keep what it frees, and say whether it does: every step of a training takes the same again.

    The GNU C library returns each piece of more than 32 MiB to the system, which clears it, page by page, when it is
    asked for the next: a third of the step of a quantizer on large maps. Of more than 64 MiB it keeps those of the main
    thread alone. What the user has said about it stays.
    """
    said = os.environ.keys() & _SAID or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform != "linux" or said:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
