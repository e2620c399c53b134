"""Parameters are in the groups that patterns of their names say."""

from functools import partial

import pytest
from torch.optim import SGD, Rprop

from tests.optim.small import NO_DECAY, names, network, optimizer_of
from vqgen.errors import ConfigError
from vqgen.optim import ParameterGroup
from vqgen.optim.groups import groups_of


def test_biases_norms_and_embeddings_have_no_decay():
    found = names(optimizer_of(network(), no_decay=NO_DECAY))
    assert found["rest"] == ["hidden.weight", "conv.weight"]
    assert found["no_decay"] == ["codes.weight", "hidden.bias", "norm.weight", "norm.bias", "conv.bias"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            {"mine": ParameterGroup("Linaer.weight")},
            r"parameter_groups.mine.match=Linaer.weight: fits no parameter; the nearest are Linear.weight, ",
        ),
        (
            {"mine": ParameterGroup(r"conv\.weight", dims=2)},
            r"mine.match=conv\\.weight: fits no parameter of 2 axes \(dims\); the nearest are conv.weight, ",
        ),
        (
            {"a": ParameterGroup("norm", lr=1.0), "b": ParameterGroup("bias", lr=1.0)},
            r"parameter_groups.b and parameter_groups.a both fit norm.bias",
        ),
        (
            {"rest": ParameterGroup("norm", lr=1.0)},
            r"parameter_groups.rest: this is what the parameters of no group are",
        ),
        (
            {"a": ParameterGroup("norm", betas=[0.5, 0.9])},
            r"parameter_groups.a.betas=\[0.5, 0.9\]: the optimiser has no such option \(there are: dampening, ",
        ),
    ],
)
def test_a_group_that_cannot_be_is_one_line(groups: dict[str, ParameterGroup], message: str):
    with pytest.raises(ConfigError, match=message):
        optimizer_of(network(), partial(SGD, lr=0.1), **groups)


def test_a_rule_for_many_models_may_fit_none_of_the_parameters():
    assert set(groups_of(network(), {"a": ParameterGroup("nothing", required=False)}).values()) == {"rest"}


def test_a_rule_for_many_models_means_nothing_to_an_optimiser_without_its_option():
    rule = ParameterGroup("bias", weight_decay=0.0, required=False)
    assert names(optimizer_of(network(), Rprop, no_decay=rule)).keys() == {None}


def test_what_is_no_regular_expression_is_named():
    with pytest.raises(ValueError, match=r"match=\(: no regular expression"):
        ParameterGroup("(")
