"""What a logger may be able to do beside Lightning's own; those of other packages may do some of it, too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class RewindableLogger(Protocol):
    """Can go back to where a resumed run stood."""

    def rewind(self, step: int, row: int) -> None:
        """Forget what was logged after `step` optimiser steps, or after the first `row` rows where rows count."""


@runtime_checkable
class RowCounter(Protocol):
    """Numbers its rows."""

    def rows_before(self, step: int) -> int:
        """Rows logged so far that belong to earlier optimiser steps than `step`."""


@runtime_checkable
class ImageLogger(Protocol):
    """Shows pictures."""

    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Log pictures, given as files."""


@runtime_checkable
class CodeCountLogger(Protocol):
    """Shows how codes are used."""

    def log_code_counts(self, key: str, counts: Sequence[int], step: int) -> None:
        """Log how often each code occurs, the most frequent first."""


@runtime_checkable
class ArtifactLogger(Protocol):
    """Keeps files, where `artifacts` says so."""

    artifacts: bool

    def log_files(
        self, files: Sequence[Path], name: str, kind: str, facts: Mapping[str, object], used: Sequence[str]
    ) -> None:
        """Keep files as an artifact of this name and kind (`model` or `samples`), with facts.

        `used` are the names of the artifacts it was made from.
        """
