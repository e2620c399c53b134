"""What a page shows of a run in words and numbers: what it is, its lineage, its figures, how to make it again."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import yaml
from torch import Tensor, nn

from vqgen.batch import SPLITS
from vqgen.errors import UserError, command, format_number, listed
from vqgen.nn.sizes import num_parameters
from vqgen.plain import Plain
from vqgen.protocols import Classifier, Variational
from vqgen.runs.folders import run_name, without_home
from vqgen.runs.published import public
from vqgen.runs.run import TOKENIZER, Run
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks import facts
from vqgen.tasks.page.curves import curves, duration, seconds
from vqgen.tasks.page.page import Chain, Charts, Command, Folded, Part, Section, Step, Table
from vqgen.tasks.task import lacks_autoencoder
from vqgen.tasks.words import Opened

MOST_TEXT = 60_000
"""Letters of a config on a page."""

MOST_FIGURES = 200
"""In a table on a page."""

_MOST_CLASSES = 40
_OTHER_RUNS = {"weights": "started from", "perceptual": "images compared by"}  # options that name a run


def said(trained: TrainedRun) -> str:
    """What a run is, in a sentence."""
    names = " and ".join(dict.fromkeys(facts.network(module) for module in trained.modules[bool(trained.priors) :]))
    if trained.priors:
        what = f"a prior on the codes that a {type(trained.coder).__name__} gives images of {facts.shape(trained)}"
    elif isinstance(trained.model, Classifier):
        what = "a classifier of images"
    elif trained.levels:
        what = f"images of {facts.shape(trained)} to maps of codes and back"
    elif trained.has_latents:
        drawn = ", and new images from such vectors" if isinstance(trained.model, Variational) else ""
        what = f"images of {facts.shape(trained)} to {trained.latent.latent_dim} numbers and back{drawn}"
    else:
        what = "a model of images"
    learned = f", learned from {_data_name(trained.runs[0])}" if trained.runs else ""
    return f"{names}: {what}{learned}."


def _data_name(run: Run) -> str:
    return facts.source(run).rpartition(".")[2]


def tiles(trained: TrainedRun, measured: Sequence[facts.Measured]) -> Iterator[tuple[str, str]]:
    """The first things to know of a run; what was measured for the page, where nothing tells of its training."""
    own = facts.models_of(trained)[bool(trained.priors) :]
    for run, module in own:
        ending = f", {_role(trained, module)}" if len(own) > 1 else ""
        if found := best(run):
            yield f"best {found[0]}{ending}", format_number(found[1])
    if measured and not any(best(run) for run, _ in own):
        yield from headline(measured[0].figures)
    modules = trained.modules[bool(trained.priors) :]
    yield "parameters", f"{sum(num_parameters(module) for module in modules):,}"
    yield "steps", " + ".join(f"{run.contents['global_step']:,}" for run, _ in own) or f"{trained.step:,}"
    if taken := [time for run, _ in own if (time := _seconds(run, trained))]:
        yield "training time, about", duration(sum(taken))
    yield "seed", f"{trained.seed}"
    if number := facts.num_images(trained.data).get("train"):
        yield "training images", f"{number:,}"


def headline(figures: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """The first figure; of priors that of whole images, the bits of all their codes, where it was measured."""
    names = sorted(figures, key=lambda name: not name.startswith("code_bits"))
    yield from ((name, format_number(figures[name])) for name in names[:1])


def _seconds(run: Run, trained: TrainedRun) -> float | None:
    return seconds(facts.logged(run.folder), facts.num_images(trained.data).get("train", 0))


def best(run: Run) -> tuple[str, float] | None:
    """The metric that chose a run's best weights, and its value; None where nothing tells."""
    monitor, mode = _monitored(run)
    values = [row[monitor] for row in facts.logged(run.folder) if monitor in row] if _at_home(run) else []
    if values:
        return monitor, max(values) if mode == "max" else min(values)
    for state in _named_nodes(run.contents.get("callbacks")):
        score = state.get("best_model_score")
        if monitor and state.get("monitor") == monitor and isinstance(score, Tensor) and score.numel() == 1:
            return monitor, float(score)
    return None


def _monitored(run: Run) -> tuple[str, str]:
    """The metric that chooses the best weights, and whether less (min) or more (max) is better."""
    node = facts.section(run.config, "callbacks", "best")
    return str(node.get("monitor") or ""), str(node.get("mode") or "min")


def _named_nodes(node: Plain) -> list[Mapping[str, Plain]]:
    """The sections of a section, which may be anyone's."""
    return [value for value in node.values() if isinstance(value, Mapping)] if isinstance(node, Mapping) else []


def _at_home(run: Run) -> bool:
    """Whether the files beside a checkpoint are of its own run: not beside a prior's copy of its tokenizer."""
    return run.file.name != TOKENIZER


def origins(trained: TrainedRun) -> TrainedRun:
    """The same; in place of a prior's copy of its tokenizer the run that was copied, where that is still there."""
    found = list(trained.runs)
    if trained.priors and found and not _at_home(found[0]):
        mark = found[-1].tokenizer or {}
        try:
            other = trained.open(str((found[-1].folder / str(mark.get("path") or "")).resolve())).runs[0]
        except (UserError, OSError):
            return trained
        alike = other.config == found[0].config and other.contents["global_step"] == found[0].contents["global_step"]
        found[0] = other if alike else found[0]
    return trained._replace(runs=found)


def _role(trained: TrainedRun, module: nn.Module) -> str:
    """What a model is to the run."""
    if module is trained.tokenizer:
        return "tokenizer"
    if not trained.priors:
        return "model"
    levels = [trained.levels[p.level] for p in trained.priors if getattr(p, "owner", p) is module]
    return f"prior of {listed(levels)}" if len(trained.levels) > 1 else "prior"


def figures(trained: TrainedRun, opened: Opened, more: Sequence[facts.Measured] = ()) -> Section:
    """Tables of what was measured, each with the command that measures it; `more` was measured for this page."""
    parts: list[Part] = []
    for one in [*facts.measured(origins(trained), opened), *more]:
        rows = [[name, format_number(value)] for name, value in islice(one.figures.items(), MOST_FIGURES)]
        parts.append(Table(["figure", "value"], rows, one.said.replace("`", "")))
        parts += [Command("", one.command)] if one.command else []
    return Section("Figures", parts, "" if parts else "None are known of these weights.")


def training(trained: TrainedRun) -> Iterator[Section]:
    """The curves of each run that has its metrics.csv."""
    for run, module in facts.models_of(origins(trained)):
        if not _at_home(run):
            continue
        rows = facts.logged(run.folder)
        if charts := curves(rows, _monitored(run)[0]):
            role = _role(trained, module)
            name = "Training" if role == "model" else f"Training of the {role}"
            yield Section(name, [Charts(charts)], f"By the optimiser step, of {run_name(run.folder)}.")


def no_curves(trained: TrainedRun) -> str:
    """Why a run has no curves."""
    if any((run.folder / facts.METRICS).is_file() for run in origins(trained).runs if _at_home(run)):
        return f"{facts.METRICS} has no figure of two steps or more that can be read"
    return f"no {facts.METRICS} is beside the weights"


def lineage(trained: TrainedRun) -> Section | None:
    """Data, tokenizer, priors, and the networks that measured them, each step made from those before."""
    if not trained.runs:
        return None
    steps = [_of_data(trained)]
    steps += [_of_model(trained, run, module) for run, module in facts.models_of(origins(trained))]
    if record := facts.evaluated(trained):
        by = record.get("classifier")
        entries = [("images", f"{record['num_images']:,} of {record['split']}")]
        entries += [("compared by", Path(str(by)).name)] if by else []
        steps.append(Step("evaluation", "task=evaluate", entries))
    return Section("Lineage", [Chain(steps)], "Each step is made from those before it.")


def _of_data(trained: TrainedRun) -> Step:
    counts = ", ".join(f"{number:,} {name}" for name, number in _num_images(trained).items())
    entries = [("images", counts or "not known: they are not here, and the run has not kept their number")]
    entries += [("size", facts.shape(trained))] if not lacks_autoencoder(trained) else []
    if trained.class_names:
        entries.append((f"{len(trained.class_names)} classes", listed(trained.class_names, _MOST_CLASSES)))
    return Step("data", _data_name(trained.runs[0]), entries)


def _num_images(trained: TrainedRun) -> dict[str, int]:
    """Images of each split: as the run has kept them, or, of a run of an older version, as they are here."""
    if known := facts.num_images(trained.data):
        return known
    try:
        return {split: trained.num_images(split) for split in SPLITS}
    except (UserError, OSError):
        return {}


def _of_model(trained: TrainedRun, run: Run, module: nn.Module) -> Step:
    entries = [("model", facts.network(module)), ("parameters", f"{num_parameters(module):,}")]
    entries += [("learned", ", ".join(facts.of_training(run)))]
    entries += [(said, Path(str(run.config[name])).name) for name, said in _OTHER_RUNS.items() if run.config.get(name)]
    if found := best(run):
        entries.append((f"best {found[0]}", format_number(found[1])))
    if module is trained.tokenizer and (mark := trained.runs[-1].tokenizer):
        entries.append(("fingerprint", str(mark["fingerprint"])))
    name = run_name(run.folder) if _at_home(run) else Path(str(trained.runs[-1].config.get("tokenizer"))).name
    return Step(_role(trained, module), name, entries)


def again(trained: TrainedRun) -> Section | None:
    """The commands that train the runs again, and their configs."""
    parts: list[Part] = []
    for run, module in facts.models_of(origins(trained)):
        role = _role(trained, module)
        for number, words in enumerate(run.commands):
            typed = [shlex.quote(without_home(word)) for word in words]
            said = f"The {role} was " + ("gone on with by" if number else "started by")
            parts.append(Command(said, command("train", *typed)))
        parts.append(Folded(f"Config of the {role}", _config(run)))
    if not parts:
        return None
    lost = [] if any(run.words for run in trained.runs) else ["the command that started it was not kept then"]
    return Section("Make it again", parts, ". ".join(["Configs are without what tells of the machine", *lost]) + ".")


def _config(run: Run) -> str:
    plain = json.loads(json.dumps(public(run.config), default=str))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    text = without_home(text)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n... and {len(text) - MOST_TEXT:,} more letters"
