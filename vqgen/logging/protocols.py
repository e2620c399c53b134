"""What a logger may be able to do beside Lightning's own; those of other packages may do some of it, too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class GoesBack(Protocol):
    """Can go on where a run that is resumed stood."""

    def rewind(self, step: int, row: int) -> None:
        """Forget what was logged after `step` optimiser steps, or after the first `row` rows where rows count."""


@runtime_checkable
class CountsRows(Protocol):
    """Numbers its rows."""

    def rows_before(self, step: int) -> int:
        """Rows logged so far that belong to earlier optimiser steps than `step`."""


@runtime_checkable
class ShowsImages(Protocol):
    """Shows pictures."""

    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Log pictures, given as files."""


@runtime_checkable
class ShowsCodeCounts(Protocol):
    """Shows how codes are used."""

    def log_code_counts(self, key: str, counts: Sequence[int], step: int) -> None:
        """Log how often each code occurs, the most frequent first."""


@runtime_checkable
class KeepsArtifacts(Protocol):
    """Keeps files, where `artifacts` says so."""

    artifacts: bool

    def log_files(
        self, files: Sequence[Path], name: str, kind: str, facts: Mapping[str, Any], used: Sequence[str]
    ) -> None:
        """Keep files as an artifact.

        Args:
            files: what to keep.
            name: of the artifact.
            kind: of it, `model` or `samples`.
            facts: to be kept with it.
            used: names of the artifacts it was made from.
        """
