"""How long the threads of an operation wait for each other before they give their core away."""

import os

SPINS = 10_000
"""Turns of a waiting loop, some tens of microseconds; GNU's OpenMP, which torch uses on Linux, takes 300,000."""


def wait_briefly() -> None:
    """Let threads that wait soon give their core to others: to be called before torch is loaded.

    On cores that other programs use as well, threads that spin keep the one that they wait for from its work: small
    steps took 40 to 70 times as long. What the user has said about it stays.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
