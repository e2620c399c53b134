"""A run to the Hugging Face Hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vqgen.errors import ConfigError, UserError
from vqgen.runs.hub import REPOSITORY, require_hub, upload
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.repository import files_of, listed, write
from vqgen.tasks.task import Task


@dataclass
class Publish(Task):
    """The files of `task=export format=safetensors` to a repository of the Hub, and nothing else.

    It uploads with the account that is logged in (`hf auth login`, or HF_TOKEN), and asks for none.

    Args:
        repo: USER/NAME; made where there is none.
        private: whether a repository that is made is.
        revision: the branch to write to, made where there is none; None for the main one.
        message: of the commit; None names the run's step.
        license: as the Hub names it, such as mit or cc-by-4.0; None leaves it unsaid.
        pictures: PNG files for the card; None takes the newest samples of the run, an empty list none. Pictures of the
            data go nowhere unless they are named here.
        dry_run: whether to say what would be uploaded, and upload nothing.
    """

    repo: str
    private: bool = False
    revision: str | None = None
    message: str | None = None
    license: str | None = None
    pictures: Sequence[str] | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not REPOSITORY.fullmatch(self.repo):
            raise ConfigError(f"repo={self.repo}: expected USER/NAME, of letters, digits, -, _ and .")
        if self.license and not re.fullmatch(r"[a-z0-9.-]+", self.license):
            raise ConfigError(f"license={self.license}: expected a name of the Hub's list, such as mit or cc-by-4.0")
        if not self.dry_run:
            require_hub("task=publish")

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """Every run fits."""
        return ""

    def make(self, trained: TrainedRun) -> Outcome:
        """The files, uploaded unless it is a dry run; UserError where the Hub refuses."""
        files = files_of(trained, self.repo, self.license, self._pictures())
        lines = listed(files)
        if self.dry_run:
            return Outcome(text="\n".join([f"Would be uploaded to {self.repo}:", *lines]), files=files)
        with TemporaryDirectory() as place:
            write(files, Path(place))
            message = self.message or f"{trained.kind}, step {trained.step}"
            page = upload(Path(place), self.repo, self.private, self.revision, message)
        address = f"hf://{self.repo}" + (f"@{self.revision}" if self.revision else "")
        return Outcome(text="\n".join([f"Uploaded to {page} (run={address}):", *lines]), files=files)

    def _pictures(self) -> dict[str, bytes] | None:
        """The files that are asked for, by name."""
        if self.pictures is None:
            return None
        for file in self.pictures:
            if Path(file).suffix != ".png" or not Path(file).is_file():
                raise UserError(f"pictures={file}: there is no such PNG file")
        return {Path(file).name: Path(file).read_bytes() for file in self.pictures}
