"""A class tells what arguments it takes, and values of a yaml file fit them or not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest
import torch
from torch import nn

from vqgen.config.arguments import check_arguments, check_node, fits, signature, signature_at
from vqgen.errors import ConfigError


class Base(nn.Module):
    def __init__(self, size: int, rate: "float" = 1.0) -> None:
        super().__init__()


class Derived(Base):
    def __init__(self, depth: int, **kwargs: Any) -> None:
        super().__init__(size=3, **kwargs)


class Open(dict):
    def __init__(self, depth: int, *args: int, **kwargs: Any) -> None: ...


def test_arguments_are_named_with_their_annotation_and_whether_they_are_needed():
    assert signature(Base).parameters == {"size": (int, True), "rate": (float, False)}
    assert not signature(Base).open_ended
    assert list(signature_at("optim", "torch.optim.SGD").parameters)[:3] == ["params", "lr", "momentum"]
    assert signature_at("x", "torch.nn.Identity").open_ended is False


def test_keywords_handed_to_a_base_class_are_its_arguments_and_may_be_filled_in_by_the_class():
    found = signature(Derived)
    assert found.parameters == {"depth": (int, True), "size": (int, False), "rate": (float, False)}
    assert not found.open_ended
    with pytest.raises(ConfigError, match=r"^m\.sise=3: no such option \(did you mean size\?\)$"):
        check_arguments("m", {"depth": 1, "sise": 3}, found)
    assert signature(lambda a, **rest: None).open_ended


MISSING = {
    "vqgen.nn.autoencoders.Encodr": "there is no such class (did you mean Encoder?)",
    "vqgen.nn.autoencoders.residual.Encodr": "there is no such class (did you mean Encoder?)",
    "vqgen.nowhere.Class": "there is no such class",
    "nowhere.at.All": "there is no such class, as there is no package nowhere: if it is your own, put its folder on ",
    "plain": "there is no such class",
    "vqgen.nn.quantize.__doc__": "there is no such class",
    "vqgen.callbacks.Samples": "there is no such class; it is vqgen.training.Samples now",
}


@pytest.mark.parametrize("target", MISSING)
def test_what_does_not_exist_is_told_with_the_near_miss(target: str):
    with pytest.raises(ConfigError) as error:
        check_node("model", {"_target_": target})
    assert str(error.value).startswith(f"model._target_={target}: {MISSING[target]}")


def test_a_package_that_a_class_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "needy.py").write_text("import not_installed_here\n\nclass Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"^model\._target_=needy\.Mine: No module named 'not_installed_here'$"):
        check_node("model", {"_target_": "needy.Mine"})


def test_a_part_that_is_made_too_early_is_told_how_it_is_made_later():
    with pytest.raises(ConfigError, match=r"^model\.optimizer\.params is missing: .*model\.optimizer\._partial_=true"):
        check_node("model.optimizer", {"_target_": "torch.optim.SGD", "lr": 0.1})


GOOD = [
    (1, int),
    (1, float),
    ("a", str),
    (None, int | None),
    ([1, 2], Sequence[int]),
    ([1], list),
    ([], list[int]),
    ("a", Literal["a", "b"]),
    ({"_target_": "x"}, nn.Module),
    (1, Optional[int]),  # noqa: UP045
    (1, Union[str, int]),  # noqa: UP007
    ({}, Mapping[str, int]),
    ([[1, 2]], list[list[int]]),
    (2, Any),
    (2, "Unknown"),
    (2, object),
    ("a", Path),
    ([1, 2.0], tuple[float, float]),
    ([1, 2, 3], tuple[int, ...]),
    (["a"], Iterable[str]),
    (True, bool),
    ({"_target_": "x", "_partial_": True}, Callable[..., nn.Module]),
    (0.1, float | torch.Tensor),
]
BAD = [
    (True, int),
    (1.0, int),
    (None, int),
    ([1, "a"], list[int]),
    ("c", Literal["a", "b"]),
    (3, nn.Module),
    ("a", float),
    ("abc", Sequence[str]),
    ([1], tuple[int, int]),
    (3, str),
    (1, bool),
    (True, float),
    (None, float | torch.Tensor),
    ("x", Callable[..., nn.Module]),
    ([1], Mapping[str, int]),
    (3, Path),
]


@pytest.mark.parametrize(("value", "annotation", "good"), [*((*g, True) for g in GOOD), *((*b, False) for b in BAD)])
def test_a_value_fits_its_annotation(value: object, annotation: object, good: bool):
    assert fits(value, annotation) is good
