import subprocess
import sys

import pytest

from vqgen.environment import memory

PAGES = """
import resource, sys
from vqgen.environment.memory import keep_memory

kept = keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b'x' * 2**26  # 64 MiB, 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(**said: str) -> tuple[str, int]:
    """Whether a process keeps its memory, and the pages that it asks for a second time."""
    environment = {"PATH": "/usr/bin:/bin", **said}
    made = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True, env=environment)
    kept, pages = made.stdout.split()
    return kept, int(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is of the GNU C library")
def test_memory_that_is_given_back_is_taken_again():
    kept, pages = run()
    assert kept == "True"
    assert pages < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is of the GNU C library")
@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_what_the_user_has_said_about_it_stays(name: str):
    value = {"MALLOC_MMAP_MAX_": "65536", "GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536"}[name]
    kept, pages = run(**{name: value})
    assert kept == "False"
    assert pages > 10_000


def test_other_systems_have_no_such_call(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: pytest.fail("no such library there"))
    assert not memory.keep_memory()


def test_another_c_library_has_none(monkeypatch: pytest.MonkeyPatch):
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_MAX_"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_memory()
