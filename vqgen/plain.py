"""What configs and checkpoints hold: the values of a yaml file, and tensors, without objects of other classes."""

from typing import Any, TypeAlias

Plain: TypeAlias = Any
"""None, a truth value, a number, a text, a tensor, or a list or dictionary of these. Readers check which it is."""

PlainDict: TypeAlias = dict[str, Plain]
"""A section of a config, or what a checkpoint holds, by name."""
