"""The rows that a run has given to a tracker, kept in the run folder to be sent again when the run goes on."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from vqgen.errors import UserError
from vqgen.plain import PlainDict
from vqgen.runs.atomic import replacing


class Journal:
    """`PLACE/rows.jsonl` in a run folder: a line a row; pictures by their paths within the folder, which may move.

    Args:
        folder: of the run.
        place: what the tracker's own folder in it is called, `wandb` say.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self.folder, self.file = folder.resolve(), folder / place / "rows.jsonl"

    def add(self, row: PlainDict) -> None:
        """Append a row."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")

    def noted(self, pictures: Sequence[str]) -> list[str]:
        """The paths of pictures relative to the run folder."""
        return [os.path.relpath(Path(picture).resolve(), self.folder) for picture in pictures]

    def keep(self, number: int) -> list[PlainDict]:
        """Drop all but the first `number` rows; returns these, without pictures that are no longer in the run folder.

        Raises:
            UserError: a line is no row.
        """
        lines = whole_lines(self.file)[:number]
        with replacing(self.file) as part:
            part.write_text("".join(lines))
        try:
            return [self._kept(json.loads(line)) for line in lines]
        except (ValueError, AttributeError, TypeError):
            raise UserError(f"'{self.file}' is damaged; delete it, and what comes from here on is shown") from None

    def _kept(self, row: PlainDict) -> PlainDict:
        images = {key: list(filter(self._is_here, files)) for key, files in row.get("images", {}).items()}
        return row | {"step": int(row["step"]), "images": {key: files for key, files in images.items() if files}}

    def _is_here(self, noted: str) -> bool:
        """Whether a picture is there, and in the run folder: the rows of a stranger's run send no other file."""
        path = (self.folder / noted).resolve()
        return path.is_relative_to(self.folder) and path.is_file()


def whole_lines(file: Path) -> list[str]:
    """The lines of a file that may not be there, without the one that a kill cut short."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return lines[:-1] if lines and not lines[-1].endswith("\n") else lines
