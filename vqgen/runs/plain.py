"""Configs and checkpoints as plain containers, which yaml, json and torch.load give."""

from typing import Any, TypeAlias

Plain: TypeAlias = Any
"""None, a bool, a number, a text, or a list or dictionary of such: what it is, is looked at where it is read."""

PlainDict: TypeAlias = dict[str, Plain]
"""A section of a config, or what a checkpoint holds, by name."""
