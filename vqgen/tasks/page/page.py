"""A page from its sections: one HTML file that loads nothing, runs nothing and escapes whatever it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Protocol, runtime_checkable

from jinja2 import Environment, PackageLoader, StrictUndefined

from vqgen.errors import UserError
from vqgen.tasks.page.picture import Picture, Pictures, fitted

MOST = 5_000_000
"""Bytes of a page."""

_OF_BASE64 = 3 / 4  # bytes of a picture in a byte of the page
_OF_A_URI = 40  # bytes before a picture


@runtime_checkable
class Part(Protocol):
    """Something on a page, with the template that draws it."""

    template: ClassVar[str]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of text under their names; columns after the first `num_words` are numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    num_words: int = 1
    template: ClassVar[str] = "table.html"


@dataclass(frozen=True, eq=False)
class Step:
    """One of a chain, each made from the one before: what it is, and its facts."""

    kind: str
    name: str
    entries: Sequence[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Chain:
    """Steps from the first to the last."""

    steps: Sequence[Step]
    template: ClassVar[str] = "chain.html"


@dataclass(frozen=True, eq=False)
class Command:
    """A command line, and what it does."""

    said: str
    words: str
    template: ClassVar[str] = "command.html"


@dataclass(frozen=True, eq=False)
class Folded:
    """Text that is opened by a click."""

    title: str
    text: str
    template: ClassVar[str] = "folded.html"


@dataclass(frozen=True, eq=False)
class Charts:
    """Charts side by side."""

    charts: Sequence[Part]
    template: ClassVar[str] = "charts.html"


@dataclass(frozen=True, eq=False)
class Section:
    """A heading with what stands under it, and the command that makes it again."""

    title: str
    parts: Sequence[Part]
    note: str = ""
    command: str = ""


@dataclass(frozen=True, eq=False)
class Page:
    """What a page shows.

    Args:
        title: its heading.
        kind: what it is of, above the heading.
        said: what that is, in a sentence.
        tiles: the first things to know, by name.
        sections: in their order.
        left_out: what is missing, and why.
        made: when and by what.
    """

    title: str
    kind: str
    said: str
    tiles: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    left_out: Mapping[str, str] = field(default_factory=dict)
    made: str = ""

    @property
    def reasons(self) -> dict[str, list[str]]:
        """What is left out for each reason."""
        return {why: [n for n, reason in self.left_out.items() if reason == why] for why in self.left_out.values()}

    @property
    def pictures(self) -> list[Picture]:
        """All pictures."""
        parts = [part for section in self.sections for part in section.parts]
        return [picture for part in parts if isinstance(part, Pictures) for picture in part.rows]

    def html(self) -> bytes:
        """The file, of at most `MOST` bytes: pictures are made smaller until it is.

        Raises:
            UserError: its text alone is larger.
        """
        pictures = self.pictures
        room = MOST - len(self._with(dict.fromkeys(pictures, ""))) - _OF_A_URI * len(pictures)
        if room < 0:
            raise UserError(f"the page of '{self.title[:80]}' is not written: its text alone is above {MOST:,} bytes")
        found = fitted(pictures, int(room * _OF_BASE64))
        return self._with({picture: encoded.uri for picture, encoded in found.items()})

    def _with(self, uris: Mapping[Picture, str]) -> bytes:
        text = _templates().get_template("page.html").render(page=self, uris=uris)
        return text.encode(errors="replace")  # a name may have half of a pair of surrogates, which UTF-8 has not


@cache
def _templates() -> Environment:
    """The templates beside this file, which escape everything that is put into them."""
    loader = PackageLoader("vqgen.tasks.page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
