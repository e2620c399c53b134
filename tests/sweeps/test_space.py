"""Hydra's words of a sweep mean the distributions that they say."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from vqgen.errors import ConfigError
from vqgen.sweeps.space import Space, space_of, values_of

pytest.importorskip("optuna", minversion="4")

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def space(*words: str, **old: object) -> Space:
    return space_of(OverridesParser.create().parse_overrides([*words]), old)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("a=choice(64,128)", CategoricalDistribution(["64", "128"])),
        ("a=64,128", CategoricalDistribution(["64", "128"])),
        ("a=choice([1,2],'x y',true)", CategoricalDistribution(["[1,2]", r"x\ y", "True"])),
        ("a=interval(1e-4,1e-2)", FloatDistribution(1e-4, 1e-2)),
        ("a=tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("a=int(interval(1,8))", IntDistribution(1, 8)),
        ("a=interval(1,8)", FloatDistribution(1, 8)),
        ("a=tag(log,int(interval(1,8)))", IntDistribution(1, 8, log=True)),
        ("a=range(2,9,3)", IntDistribution(2, 8, step=3)),  # as Hydra has it, without the end
        ("a=range(0.5,2.0,0.5)", FloatDistribution(0.5, 1.5, step=0.5)),
        ("a=shuffle(range(1,3))", CategoricalDistribution(["1", "2"])),
    ],
)
def test_a_word_is_a_distribution(word: str, meant: BaseDistribution):
    found = space(word).searched["a"]
    if isinstance(meant, CategoricalDistribution):  # in any order
        assert sorted(found.choices) == sorted(meant.choices)
    else:
        assert found == meant


def test_the_last_word_for_an_option_counts_and_words_of_one_value_are_for_all_trials():
    found = space("a=1,2", "b=3", "+c.d=4", "a=interval(0.0,1.0)", "~e", "b=5,6")
    assert found.fixed == ["+c.d=4", "~e"]
    assert found.searched == {"a": FloatDistribution(0, 1), "b": CategoricalDistribution(["5", "6"])}
    assert space("a=1,2", "a=3") == Space(["a=3"], {})


def test_options_of_older_versions_are_read():
    lr = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}
    found = space(
        "k=1,2", lr=lr, k={"type": "int", "low": 1, "high": 9, "step": 2}, c={"type": "categorical", "choices": [1]}
    )
    assert found.searched["lr"] == FloatDistribution(1e-4, 1e-2, log=True)
    assert found.searched["k"] == CategoricalDistribution(["1", "2"])  # the word comes before
    assert found.searched["c"] == CategoricalDistribution(["1"])


@pytest.mark.parametrize(
    ("word", "old", "told"),
    [
        ("a=interval(1,0)", {}, r"a=interval\(1,0\): .*low <= high"),
        ("a=tag(log,interval(0.0,1.0))", {}, r"a=tag\(log,interval\(0.0,1.0\)\): .*low > 0"),
        ("a=range(3,3)", {}, r"a=range\(3,3\): there is no value in it"),
        (
            "b=1",
            {"a": {"type": "float", "low": 0, "hih": 1}},
            r"search_space.a: there is no option hih .did you mean high",
        ),
        ("b=1", {"a": {"type": "real"}}, "search_space.a: type=real: take one of categorical, int, float"),
    ],
)
def test_what_is_no_distribution_is_told_by_its_word(word: str, old: dict[str, object], told: str):
    with pytest.raises(ConfigError, match=told):
        space(word, **old)


def test_a_grid_has_values_to_count():
    found = space("a=choice(x,y)", "b=range(1,6,2)", "c=range(0.5,2.0,0.5)", "d=interval(0.0,1.0)").searched
    values = {name: values_of(name, one) for name, one in found.items() if name != "d"}
    assert values == {"a": ["x", "y"], "b": [1, 3, 5], "c": [0.5, 1.0, 1.5]}
    with pytest.raises(ConfigError, match="d: a grid has values to count"):
        values_of("d", found["d"])
