"""The command lines that make what the page shows."""

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vqgen.drawing import NEUTRAL, Sampling
from vqgen.errors import command, option, typed


class Opened(NamedTuple):
    """How a run was opened: `run` as the user names it, and the other `settings` of sample.py that were given."""

    run: str | Sequence[str]
    settings: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """What the run is called in a title."""
        return self.run if isinstance(self.run, str) else ", ".join(self.run)

    def command(self, task: str, **options: object) -> str:
        """The command line of a task on the run; options that are None are left out."""
        words = [f"task={task}"] + [word(key, value) for key, value in options.items() if value is not None]
        run = word("run", self.run if isinstance(self.run, str) else list(self.run))
        return command("sample", *words, run, *(typed(key, value) for key, value in self.settings.items()))


def word(key: str, value: object) -> str:
    """`KEY=VALUE` as one types it in a shell: text, a number, a truth value, or a list of such."""
    if isinstance(value, str):
        return typed(key, value)
    return shlex.quote(f"{key}={_plain(value)}")


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, str):
        return option("", value)[1:].replace("${", "\\${")  # a list's texts may have references
    return f"{value:.9g}" if isinstance(value, float) else str(value)  # nine digits are a float32 whole


def of_sampling(sampling: Sampling) -> dict[str, object]:
    """The options of a draw: its seed, and what is not as usual."""
    usual = NEUTRAL.settings()
    each = {name: value if isinstance(value, list) else [value] for name, value in sampling.settings().items()}
    told = {name: value for name, value in sampling.changed().items() if any(one != usual[name] for one in each[name])}
    return {**told, "seed": sampling.seed}
