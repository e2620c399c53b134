"""Arithmetic coding: exact, as short as the weights say, and by weights that are whole numbers everywhere."""

import math
from decimal import Decimal
from itertools import product

import numpy as np
import pytest

from vqgen.tasks.arithmetic import STEPS, ArithmeticDecoder, ArithmeticEncoder, weights


def _coded(symbols: list[int], tables: list[np.ndarray]) -> bytes:
    encoder = ArithmeticEncoder()
    for symbol, table in zip(symbols, tables, strict=True):
        encoder.encode(symbol, table)
    return encoder.contents()


def _decoded(contents: bytes, tables: list[np.ndarray]) -> list[int]:
    decoder = ArithmeticDecoder(contents)
    return [decoder.decode(table) for table in tables]


def test_every_sequence_of_symbols_has_bytes_of_its_own_that_give_it_back():
    tables = [np.array(table) for table in ([1, 5, 2], [2**40, 1, 1], [1, 1], [3, 1, 1])]
    sequences = [list(symbols) for symbols in product(*(range(len(table)) for table in tables))]
    files = [_coded(symbols, tables) for symbols in sequences]
    assert len(set(files)) == len(sequences)
    assert [_decoded(file, tables) for file in files] == sequences


def test_bytes_are_as_few_as_the_interval_allows():
    draw = np.random.default_rng(0)
    for number in (0, 1, 10, 300):
        tables = [draw.integers(1, 2**32, 50) for _ in range(number)]
        symbols = [int(draw.choice(50, p=table / table.sum())) for table in tables]
        bits = -sum(math.log2(table[symbol] / table.sum()) for symbol, table in zip(symbols, tables, strict=True))
        contents = _coded(symbols, tables)
        assert _decoded(contents, tables) == symbols
        assert bits - 1e-6 <= 8 * len(contents) + 8
        assert 8 * len(contents) < bits + 9
        assert contents[-1:] != b"\0"  # it would be left out


@pytest.mark.parametrize("steps", [0, 1, 7, 1000, 12_345, 22_000])
def test_a_weight_is_the_exponential_of_its_steps(steps: int):
    exact = (Decimal(-steps) / STEPS).exp() * 2**32
    assert weights(np.array([steps]))[0] == max(1, int(exact))


def test_a_symbol_however_improbable_weighs_something():
    assert weights(np.array([22_713, 30_000, 10**12])).tolist() == [1, 1, 1]
    assert (np.diff(weights(np.arange(25_000))) <= 0).all()
