"""Plain containers: mappings, lists, numbers and text, as they stand in a config and in a checkpoint."""

from typing import Any, TypeAlias

Plain: TypeAlias = dict[str, Any]
"""A section of a config, or an entry of a checkpoint: whoever reads a key knows the type of its value."""
