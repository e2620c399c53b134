"""Arithmetic coding in whole numbers (Rissanen and Langdon 1979), and the weights that it codes by.

A sequence of symbols is an interval inside [0, 1): each symbol takes, of the interval of those before it, a share in
proportion to its weight. The bounds are fractions of Python's integers and weights are integers, so that nothing is
ever rounded, on no machine, and the bytes are as few as the interval allows.
"""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

STEPS = 1024
"""Steps of a nat that log-probabilities are rounded to: dearer by 1e-7 nats a symbol, squared step over 24 or so."""

_BITS = 32  # the likeliest symbol weighs 2^32, and none less than 1


def weights(steps: Int64[ndarray, " k"]) -> Int64[ndarray, " k"]:
    """2^32 exp(-steps / STEPS) rounded down, and 1 at least, from integers alone."""
    table = _table()
    return table[np.minimum(steps, len(table) - 1)]


def resolved(nats: Float64[ndarray, "*shape"]) -> Float64[ndarray, "*shape"]:
    """Nats below the likeliest symbol in steps, as far as weights tell them apart."""
    return np.minimum(nats * STEPS, len(_table()))


@cache
def _table() -> Int64[ndarray, " n"]:
    """The weights from 2^32 to 1. Powers of one factor, which `decimal` rounds correctly wherever it runs."""
    more = 64  # bits, against what rounding down adds up to
    with localcontext(prec=60):
        factor = int((Decimal(-1) / STEPS).exp() * 2 ** (_BITS + more))
    powers = [1 << (_BITS + more)]
    while powers[-1] >> more > 1:
        powers.append(powers[-1] * factor >> (_BITS + more))
    return np.array([power >> more for power in powers], np.int64)


class ArithmeticEncoder:
    """Symbols to bytes. The interval so far is [low, low + width) in parts of `whole`."""

    def __init__(self) -> None:
        self.low, self.width, self.whole = 0, 1, 1

    def encode(self, symbol: int, weights: Int64[ndarray, " k"]) -> None:
        """Take the symbol's share of the interval."""
        total = int(weights.sum())
        self.low = self.low * total + self.width * int(weights[:symbol].sum())
        self.width *= int(weights[symbol])
        self.whole *= total

    def contents(self) -> bytes:
        """The shortest bytes that are, behind a point, a fraction inside the interval."""
        size = max(0, (self.whole // self.width).bit_length() - 1) // 8
        while True:
            scale = 256**size
            number = -(-self.low * scale // self.whole)
            if number * self.whole < (self.low + self.width) * scale:
                return number.to_bytes(size, "big")
            size += 1


class ArithmeticDecoder:
    """Bytes back to symbols. Inside the interval so far their fraction stands at `place` of `width`."""

    def __init__(self, contents: bytes) -> None:
        self.place, self.width = int.from_bytes(contents, "big"), 256 ** len(contents)

    def decode(self, weights: Int64[ndarray, " k"]) -> int:
        """The symbol whose share the fraction lies in."""
        ends = weights.cumsum()
        place = self.place * int(ends[-1])
        symbol = int(np.searchsorted(ends, place // self.width, side="right"))
        self.place = place - self.width * int(ends[symbol] - weights[symbol])
        self.width *= int(weights[symbol])
        return symbol
