"""A printed command gives, typed into a shell and read by Hydra, the path that it was printed for."""

import random
import shlex

import pytest

from tests.conftest import composed
from vqgen.config.words import parse
from vqgen.errors import command, option, typed

PLAIN = ["runs/2026-11-26_08-00-00", "/home/me/runs/a.b", "../x", "multirun/a/0"]
ODD = [
    "my runs/a",
    "a=b",
    "a,b",
    "[a]",
    "{a}",
    "it's",
    'a"b',
    "a\\",
    'a\\"b',
    "$HOME",
    "a$b",
    "Größe/漢",
    "2024",
    "1e5",
    "null",
    "True",
    ".5",
    "a#b",
    "a;b",
    "a&b",
    "(a)",
    "a:b",
    "-x",
    "a|b",
    "*",
    "!x",
    " lead",
    "trail ",
    "a`b`",
    "a~b",
]


@pytest.mark.parametrize("path", PLAIN)
def test_an_ordinary_path_is_printed_as_it_is(path: str):
    assert command("sample", run=path) == f"python sample.py run={path}"


def read(word: str) -> object:
    """What Hydra reads of a word that a shell has taken apart."""
    (split,) = shlex.split(word)
    return parse([split])[0].value()


def test_any_path_comes_back_from_a_printed_word():
    draw = random.Random(0)
    drawn = ["".join(draw.choices("ab1 /\\\"'=,:$[]{}()ü#~-+.", k=draw.randint(1, 12))) for _ in range(500)]
    for path in [*PLAIN, *ODD, *drawn]:
        assert read(typed("resume", path)) == path


def test_any_path_comes_through_the_whole_config():
    for path in ODD[::6]:
        assert composed([option("tokenizer", path)]).tokenizer == path
