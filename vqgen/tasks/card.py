"""The model card of a run: what it is, how it learned and from what, figures with their commands, how to load it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vqgen.errors import UserError, command, format_number
from vqgen.protocols import Classifier, Variational, usual_prior
from vqgen.runs.hub import is_address, repository_of
from vqgen.runs.published import CARD
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks import facts
from vqgen.tasks.words import Opened

_HERE = "FOLDER"  # in a card of files that are nowhere yet
_SAMPLES = ("sample*/samples.png", "images/samples_*.png")  # pictures of nothing but what was drawn, best first


def card(
    trained: TrainedRun, repo: str | None, license: str | None, pictures: Mapping[str, bytes] | None
) -> tuple[str, dict[str, bytes]]:
    """The text, and the pictures that it shows, by their names.

    A README.md in the run's folder is taken as it is; the entries that the Hub reads are put above it if it has none.

    Args:
        trained: the run.
        repo: USER/NAME; None where the files stay here.
        license: as the Hub names it, such as `mit`.
        pictures: by name; None for the newest samples of the run.

    Raises:
        UserError: the README.md names a place of this machine.
    """
    written, found = _written(trained, repo, license)
    if pictures is None:
        pictures = found if written else dict(_samples(trained))
    if written.startswith("---"):
        return written, dict(pictures)
    body = written or "\n\n".join(_sections(trained, repo, license, pictures)) + "\n"
    return f"{_front_matter(trained, license)}\n{body}", dict(pictures)


def _written(trained: TrainedRun, repo: str | None, license: str | None) -> tuple[str, dict[str, bytes]]:
    """The user's own card, and those pictures of its folder that it shows; empty where there is none."""
    own = (trained.folder.parent if len(trained.priors) > 1 else trained.folder) / CARD
    if not own.is_file():
        return "", {}
    text = own.read_text(encoding="utf-8")
    if str(Path.home()) != "/" and str(Path.home()) in text:
        raise UserError(
            f"'{own}' names '{Path.home()}', a folder of this machine: take that out, it would be published"
        )
    if license and text.startswith("---"):
        raise UserError(f"license={license}: '{own}' has entries of its own: write it there, or move that card away")
    names = [name for name in re.findall(r"!\[[^\]]*\]\(([\w-][\w.-]*\.png)\)", text) if (own.parent / name).is_file()]
    if repo:
        text = re.sub(rf'(?<=[="]){_HERE}\b', f"hf://{repo}", text)
    return text, {name: (own.parent / name).read_bytes() for name in names}


def _front_matter(trained: TrainedRun, license: str | None) -> str:
    """The entries of the Hub: library, licence, what the model is for, the published tokenizer that it learned on."""
    entries = ["library_name: vqgen"]
    if license:
        entries.append(f"license: {license}")
    if isinstance(trained.model, Classifier):
        entries.append("pipeline_tag: image-classification")
    elif trained.priors or isinstance(trained.model, Variational):
        entries.append("pipeline_tag: unconditional-image-generation")
    base = str(trained.runs[-1].config.get("tokenizer"))
    if trained.priors and is_address(base):
        entries.append(f"base_model: {repository_of(base)}")
    tags = dict.fromkeys(["vqgen", "pytorch", *(type(module).__name__.lower() for module in trained.modules)])
    return "\n".join(["---", *entries, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _sections(trained: TrainedRun, repo: str | None, license: str | None, shown: Mapping[str, bytes]) -> Iterator[str]:
    address = f"hf://{repo}" if repo else _HERE
    yield f"# {repo.partition('/')[2] if repo else trained.name}"
    yield "\n".join(f"- {line}" for line in facts.models(trained))
    for name in shown:
        yield f"![{Path(name).stem}]({name})"
    yield f"## Use\n\n{_use(trained, address)}"
    yield "## Training\n\n" + "\n".join(f"- {line}" for line in facts.training(trained))
    yield "## Figures\n\n" + ("\n\n".join(_figures(trained, address)) or "None are known of these weights.")
    yield f"## Licence\n\n{license or 'Not stated: ask the author.'}"


def _use(trained: TrainedRun, address: str) -> str:
    shell = ["pip install 'vqgen[hub]'"]
    if trained.priors or isinstance(trained.model, Variational):
        shell.append(command("sample", f"run={address}"))
    elif trained.levels or trained.has_latents:
        shell.append(command("sample", f"task=reconstruct run={address}"))
    if trained.levels and not trained.priors:
        shell.append(command("train", f"model={usual_prior(trained.coder)} tokenizer={address}"))
    lines = [f'from vqgen import load, open_trained\nrun = open_trained("{address}")   # for the tasks of vqgen.tasks']
    if len(trained.runs) == 1 + bool(trained.priors):
        lines.append(f'model = load("{address}")         # the model alone')
    code = "\n".join(f"    {line}" for line in "\n".join(lines).splitlines())
    return "\n".join(f"    {line}" for line in shell) + f"\n\nFrom Python:\n\n{code}\n\n{_ALONE}"


_ALONE = """`model.safetensors` holds every weight under its name in the module, `config.json` the arguments that it is
built with (`config.model`): both are read without vqgen, too."""


def _figures(trained: TrainedRun, address: str) -> Iterator[str]:
    """Tables of what was measured of these very weights, each with where it comes from."""
    for measured in facts.measured(trained, Opened(address)):
        where = measured.said + (f", by `{measured.command}`" if measured.command else "")
        yield f"{where}:\n\n{_table(measured.figures)}"


def _table(figures: Mapping[str, float]) -> str:
    rows = [f"| {name} | {format_number(value)} |" for name, value in figures.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows])


def _samples(trained: TrainedRun) -> Iterator[tuple[str, bytes]]:
    """The newest picture of samples. Pictures of the data (reconstructions) are not for others before one says so."""
    for pattern in _SAMPLES:
        for file in facts.newest(trained, pattern):
            yield "samples.png", file.read_bytes()
            return
