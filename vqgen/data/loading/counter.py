"""Random numbers as a function of what they are for: no state, the same on every machine and worker."""

from zlib import crc32

import numpy as np
from jaxtyping import Float64, UInt64
from numpy import ndarray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(x: UInt64[ndarray, "*n"]) -> UInt64[ndarray, "*n"]:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014): a bijection that scatters neighbours."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def bits(index: ndarray, purpose: str, *key: int) -> UInt64[ndarray, "*n"]:
    """64 random bits for each integer of `index`, independent between purposes and between `key`s (seed, epoch)."""
    state = np.zeros(1, np.uint64)
    for part in (crc32(purpose.encode()), *key):
        state = mix((state ^ np.uint64(part % 2**64)) + _GOLDEN)
    return mix(mix(state + np.asarray(index).astype(np.uint64) * _GOLDEN) ^ state)


def uniform(index: ndarray, purpose: str, *key: int) -> Float64[ndarray, "*n"]:
    """One number in [0, 1) for each integer of `index`."""
    return (bits(index, purpose, *key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(index: ndarray, high: int, purpose: str, *key: int) -> ndarray:
    """One integer in [0, high) for each integer of `index`."""
    return (uniform(index, purpose, *key) * high).astype(np.int64)


def permutation(n: int, purpose: str, *key: int) -> ndarray:
    """A permutation of 0..n-1 (int64)."""
    return np.argsort(bits(np.arange(n), purpose, *key), kind="stable")
