"""A run, as it is read from disk."""

from pathlib import Path
from typing import NamedTuple

from vqgen.plain import PlainDict

TOKENIZER = "tokenizer.ckpt"  # a prior's copy of its tokenizer, in its run folder


class Run(NamedTuple):
    """A trained run, as found on disk."""

    folder: Path
    file: Path
    config: PlainDict
    contents: PlainDict

    @property
    def tokenizer(self) -> dict[str, str] | None:
        """Path (as seen from the run folder) and fingerprint of a prior's tokenizer."""
        return self.contents["vqgen"]["tokenizer"] if "vqgen" in self.contents else None

    @property
    def has_weights(self) -> bool:
        """False where the run was killed before it wrote a checkpoint."""
        return "state_dict" in self.contents

    @property
    def data(self) -> PlainDict:
        """What the run has read (vqgen.runs.provenance); of a run of an older version what its config knows of that."""
        known = self.contents.get("vqgen", {}).get("data")
        facts = self.config["facts"]
        return dict(known or {name: facts[name] for name in ("class_names", "variance") if facts.get(name) is not None})

    @property
    def words(self) -> list[str]:
        """The options that the run was started with, as they were typed; none of a run of an older version.

        After them stand those that it was gone on with, each time from `resume=RUN` on.
        """
        words = self.contents.get("vqgen", {}).get("words") or []
        return [str(word) for word in words] if isinstance(words, list) else []

    @property
    def commands(self) -> list[list[str]]:
        """The words of the command that started the run, and of each that has gone on with it by other options."""
        lines: list[list[str]] = []
        for word in self.words:
            if not lines or word.startswith("resume="):
                lines.append([])
            lines[-1].append(word)
        return lines

    def tokenizer_path(self) -> Path:
        """Where the tokenizer of this prior lies: the copy in its folder, or else the run it was copied from."""
        assert self.tokenizer is not None
        copy = self.folder / TOKENIZER
        return copy if copy.exists() else (self.folder / self.tokenizer["path"]).resolve()
