"""What configs and checkpoints hold: the values of a yaml file, and tensors, without objects of other classes."""

from math import isfinite
from typing import Any, TypeAlias

Plain: TypeAlias = Any
"""None, a truth value, a number, a text, a tensor, or a list or dictionary of these. Readers check which it is."""

PlainDict: TypeAlias = dict[str, Plain]
"""A section of a config, or what a checkpoint holds, by name."""


def finite(value: Plain) -> float | None:
    """A number that is finite, as a float; None for anything else, which a file of anyone's may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if isfinite(number) else None
