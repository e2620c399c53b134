"""The command lines that make what a page shows."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import NamedTuple

import vqgen.drawing
from vqgen.drawing import NEUTRAL, Confidence, FixedPoint, Halton, Raster, Sampler, Sampling
from vqgen.errors import command, option, typed
from vqgen.runs.folders import without_home

_SAMPLERS = {Raster: "raster", FixedPoint: "fixed_point", Confidence: "masked", Halton: "halton"}  # of conf/sampler
_OF_A_SAMPLER = {"steps": "steps", "noise": "sampler.noise"}  # what it keeps, and the options that set it


class Opened(NamedTuple):
    """How a run was opened: `run` as the user names it, and the other `settings` of sample.py that were given."""

    run: str | Sequence[str]
    settings: Mapping[str, object] = {}

    @property
    def name(self) -> str:
        """What the run is called in a title."""
        return self.run if isinstance(self.run, str) else ", ".join(self.run)

    def command(self, task: str, **options: object) -> str:
        """The command line of a task on the run; options that are None are left out."""
        words = [f"task={task}"] + [word(key, value) for key, value in options.items() if value is not None]
        run = word("run", self.run if isinstance(self.run, str) else list(self.run))
        return command("sample", *words, run, *(word(key, value) for key, value in self.settings.items()))


@dataclass(kw_only=True)
class OpenedBy:
    """What a task that shows command lines is told of how its run was opened: options of `sample.py`, by their names.

    Args:
        run: the run as the user names it.
        checkpoint: as for `sample.py`.
        tokenizer: as for `sample.py`.
        data_root: as for `sample.py`.
        data_changed: as for `sample.py`.
    """

    run: str | Sequence[str] | None = None
    checkpoint: str = "best"
    tokenizer: str | None = None
    data_root: str | None = None
    data_changed: bool = False

    def opened(self, run: str | Sequence[str]) -> Opened:
        """The words for a run that is called so."""
        places = {"tokenizer": self.tokenizer, "data_root": self.data_root}
        given: dict[str, object] = {key: without_home(place) for key, place in places.items() if place}
        chosen = {} if self.checkpoint == "best" else {"checkpoint": self.checkpoint}
        return Opened(run, chosen | given | ({"data_changed": True} if self.data_changed else {}))


class Drawing(NamedTuple):
    """The options of a draw, and the names of what no words say exactly: objects of one's own."""

    options: dict[str, object]
    unsaid: list[str]

    @property
    def note(self) -> str:
        """What a command line of these options lacks, in a sentence; empty where it lacks nothing."""
        return f" The command lacks {' and '.join(self.unsaid)}: no words say it." if self.unsaid else ""


def of_drawing(sampling: Sampling, sampler: Sampler | None = None) -> Drawing:
    """The options of a draw: its seed where it is not 0, what is not as usual, and the sampler."""
    by, options = of_sampler(sampler), of_sampling(sampling)
    unsaid = [name for name, value in options.items() if value is None] + ["sampler"] * (by is None)
    return Drawing({**options, "seed": sampling.seed or None, **(by or {})}, unsaid)


def of_sampling(sampling: Sampling) -> dict[str, object]:
    """The options of a draw: its seed, and what is not as usual; None for a schedule that no words say."""
    usual = NEUTRAL.settings()
    each = {name: value if isinstance(value, list) else [value] for name, value in sampling.settings().items()}
    changed = {name: v for name, v in sampling.changed().items() if any(one != usual[name] for one in each[name])}
    if "guidance" in changed:
        changed["guidance"] = _of_guidance(changed["guidance"])
    return {**changed, "seed": sampling.seed}


def _of_guidance(guidance: object) -> object:
    """A weight, or a schedule as the config that makes it, or a list of such; None where a config does not say it."""
    if isinstance(guidance, list):
        each = [_of_guidance(one) for one in guidance]
        return None if None in each else each
    if isinstance(guidance, int | float):
        return guidance
    if not is_dataclass(guidance) or isinstance(guidance, type):
        return None
    kind, fields = type(guidance), asdict(guidance)
    if not all(isinstance(value, int | float | str) for value in fields.values()):
        return None
    public = getattr(vqgen.drawing, kind.__name__, None) is kind
    return {"_target_": f"{'vqgen.drawing' if public else kind.__module__}.{kind.__qualname__}", **fields}


def of_sampler(sampler: Sampler | None) -> dict[str, object] | None:
    """The options that choose a sampler; None for one that is not of conf/sampler."""
    if sampler is None:
        return {}
    if (name := _SAMPLERS.get(type(sampler))) is None:
        return None
    kept = {key: vars(sampler).get(attribute) for attribute, key in _OF_A_SAMPLER.items()}
    return {"sampler": name, **{key: value for key, value in kept.items() if value is not None}}


def word(key: str, value: object) -> str:
    """`KEY=VALUE` as one types it in a shell: text, a number, a truth value, or a list or names of such."""
    if isinstance(value, str):
        return typed(key, value)
    return shlex.quote(f"{key}={_plain(value)}")


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_plain(one)}' for key, one in value.items())}}}"
    if isinstance(value, str):
        return option("", value)[1:].replace("${", "\\${")  # a list's texts may have references
    return _number(value)


def _number(value: object) -> str:
    """A whole number as it is, another in few digits where these are all of it."""
    short = f"{value:.6g}" if isinstance(value, float) else str(value)
    return short if isinstance(value, int) or float(short) == value else repr(value)
