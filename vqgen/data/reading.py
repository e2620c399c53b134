"""What was read, in one line that is logged before anything is made of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_MOST_CLASSES, _MOST_REASONS = 10, 8  # named in the line


class Reading(NamedTuple):
    """What a source of images found, and how it took it."""

    place: str  # where the images come from
    counts: Mapping[str, int]  # images of each split
    class_names: Sequence[str] = ()
    how: str = ""  # they were divided into splits
    left_out: Mapping[str, int] = {}  # the number of files and folders that were not taken, by reason
    notes: Sequence[str] = ()  # further facts

    def line(self) -> str:
        """All of it in one line.

        `Data of data/pets: 36 train, 2 val, 2 test; 2 classes (cat, dog); divided by hash; left out: 40 .heic`
        """
        counts = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
        left_out = self._left_out()
        parts = [counts, self._classes(), self.how, *self.notes, left_out and f"left out: {left_out}"]
        return printable(f"Data of {self.place}: {'; '.join(filter(None, parts))}")

    def _left_out(self) -> str:
        reasons = sorted(filter(self.left_out.get, self.left_out), key=lambda reason: -self.left_out[reason])
        rest = reasons[_MOST_REASONS:]
        more = f"{sum(map(self.left_out.__getitem__, rest)):,} more for {len(rest)} other reasons"
        named = [f"{self.left_out[reason]:,} {reason}" for reason in reasons[:_MOST_REASONS]]
        return ", ".join(named + [more] * bool(rest))

    def _classes(self) -> str:
        names = list(self.class_names)
        if not names:
            return "no classes"
        shown = names if len(names) <= _MOST_CLASSES else [*names[: _MOST_CLASSES - 1], "...", names[-1]]
        return f"{len(names):,} classes ({', '.join(shown)})"


def printable(text: str) -> str:
    """The same in one line, with escapes for what cannot be printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
