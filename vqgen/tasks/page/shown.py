"""What a page shows of a run in pictures: the results of other tasks, as many as the run can have."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from numpy import ndarray

from vqgen.batch import to_bytes
from vqgen.drawing import Sampler, Sampling
from vqgen.errors import UserError
from vqgen.pictures import figures, plots
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.codebook import Codebook, code_images
from vqgen.tasks.complete import Complete
from vqgen.tasks.interpolate import Interpolate
from vqgen.tasks.latents import Latents
from vqgen.tasks.levels import Levels
from vqgen.tasks.nll import NLL
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.page.page import Charts, Section
from vqgen.tasks.page.picture import Picture, Pictures, row
from vqgen.tasks.page.plotted import scatter, usage
from vqgen.tasks.reconstruct import Reconstruct
from vqgen.tasks.sample import MAX_COLUMNS, Sample
from vqgen.tasks.task import Task
from vqgen.tasks.traverse import Traverse
from vqgen.tasks.words import Drawing, Opened, of_drawing

SHOWN_CODES = 64
_COMPLETED = 4  # images that are completed
_DIMENSIONS = 8  # of latents that are traversed
_LINES = 5  # of samples without classes


class Wanted(NamedTuple):
    """How much is shown: images in a row, samples drawn, test images that are measured, and how it is drawn."""

    num_images: int
    num_samples: int
    num_measured: int
    sampling: Sampling
    sampler: Sampler | None

    @property
    def drawing(self) -> Drawing:
        """How it is drawn, as options."""
        return of_drawing(self.sampling, self.sampler)


class Shown(NamedTuple):
    """The sections that could be made, and why others could not, by their titles."""

    sections: list[Section]
    left_out: dict[str, str]


def shown(trained: TrainedRun, wanted: Wanted, opened: Opened) -> Shown:
    """A section for each task that fits the run; `opened` is how their commands name it."""
    sections, left_out = [], {}
    for title, (task, make) in MAKERS.items():
        if task.lacks(trained):
            continue
        try:
            found = make(trained, wanted)
        except (UserError, OSError) as error:  # images that are not here; options that do not go together
            left_out[title] = str(error)
            continue
        line = opened.command(task.__name__.lower(), **found.options)
        sections.append(Section(title, found.parts, found.note, line))
    return Shown(sections, left_out)


class _Made(NamedTuple):
    """The parts of a section, the note above them, and the options of the task that makes the same."""

    parts: Sequence[Charts | Pictures]
    note: str
    options: Mapping[str, object]


def _samples(trained: TrainedRun, wanted: Wanted) -> _Made:
    """Samples, a row for each class where these are few."""
    classes = trained.num_classes if trained.num_classes <= MAX_COLUMNS else 0
    each = min(wanted.num_images, max(1, wanted.num_samples // max(1, classes)))
    number = each * classes or min(wanted.num_samples, _LINES * wanted.num_images)
    images = Sample(number, sampling=wanted.sampling, sampler=wanted.sampler)(trained).arrays["samples"]
    names = trained.class_names or [f"class {i}" for i in range(classes)]
    rows = [row(names[i], images[i::classes]) for i in range(classes)] or [row("", images, wanted.num_images)]
    drawn = "Drawn, not chosen" + (", every class in turn" if trained.num_classes else "")
    note = f"{drawn}; {_by(wanted)}.{wanted.drawing.note}"
    return _Made([Pictures(rows)], note, {"num_samples": number, **wanted.drawing.options})


def _by(wanted: Wanted) -> str:
    """The settings of drawing, in words."""
    return ", ".join(
        f"{name} {value}" for name, value in {"seed": wanted.sampling.seed, **wanted.sampling.changed()}.items()
    )


def _reconstructions(trained: TrainedRun, wanted: Wanted) -> _Made:
    """Test images, what comes back, and the error."""
    rows = figures.reconstruction_rows(trained.autoencoder, trained.first(wanted.num_images).x)
    drawn = [row(name, to_bytes(images).cpu().numpy()) for name, images in rows.items()]
    note = f"The first test images. {figures.ERROR_SCALE.capitalize()}."
    return _Made([Pictures(drawn)], note, {"num_samples": wanted.num_images})


def _completions(trained: TrainedRun, wanted: Wanted) -> _Made:
    """A half kept, the other drawn."""
    images, number = list(range(min(_COMPLETED, trained.num_images()))), max(1, wanted.num_images - 2)
    outcome = Complete(images=images, num_samples=number, sampling=wanted.sampling, sampler=wanted.sampler)(trained)
    options = {"images": images, "num_samples": number, **wanted.drawing.options}
    note = "Left to right: a test image, the half that is kept, and completions by the priors of all levels."
    return _Made([Pictures(_rows(outcome, "completions"))], note + wanted.drawing.note, options)


def _likelihood(trained: TrainedRun, wanted: Wanted) -> _Made:
    """The nats of each code."""
    images = list(range(min(wanted.num_images, trained.num_images())))
    note = "Negative log-likelihood of each code: black 0 nats, the brighter the more the prior is surprised."
    return _Made([Pictures(_rows(NLL(images)(trained), "nll"))], note, {"images": images})


def _levels(trained: TrainedRun, wanted: Wanted) -> _Made:
    """One level after another, and levels of different images joined."""
    images = list(range(min(max(2, wanted.num_images - 2), trained.num_images())))
    outcome = Levels(wanted.num_images, images)(trained)
    alone = [
        picture for picture in _rows(outcome, "levels") if " codes " not in picture.name
    ]  # Reconstructions has them
    (_, above), *joined = _arrays(outcome, "analogy")
    rows = [row("original", above, empty=[0]), *(row(key.partition("/")[2], images) for key, images in joined)]
    bottom = trained.levels[-1]
    parts = [
        Pictures(alone, "Decoded from some levels alone, the others being zero vectors."),
        Pictures(
            rows, f"Each row has all but the {bottom} codes of the image on the left, with those of the image above."
        ),
    ]
    options = {"num_samples": wanted.num_images, "images": images}
    return _Made(parts, "What each level of codes holds.", options)


def _interpolations(trained: TrainedRun, wanted: Wanted) -> _Made:
    """Paths between test images, two where there are four images."""
    last, steps = trained.num_images() - 1, max(2, wanted.num_images - 2)
    pairs = [(i, i + 1) for i in (0, 2) if i < last] or [(0, last)]
    first, second = map(list, zip(*pairs, strict=True))
    outcome = Interpolate(first, second, steps)(trained)
    note = "From one test image (left) to another (right) through the latents."
    options = {"first": first, "second": second, "steps": steps}
    return _Made([Pictures(_rows(outcome, "interpolations"))], note, options)


def _traversals(trained: TrainedRun, wanted: Wanted) -> _Made:
    """One latent dimension at a time."""
    steps = max(3, wanted.num_images + 1 - wanted.num_images % 2)
    outcome = Traverse(num_dimensions=_DIMENSIONS, steps=steps, num_images=wanted.num_measured)(trained)
    note = (
        "One dimension moves from three standard deviations below its mean to three above; the others stay at theirs."
    )
    options = {"num_dimensions": _DIMENSIONS, "steps": steps, "num_images": wanted.num_measured}
    return _Made([Pictures(_rows(outcome, "traversals"))], note, options)


def _codebook(trained: TrainedRun, wanted: Wanted) -> _Made:
    """How often the codes of each level are used, and what the most used ones decode to."""
    outcome = Codebook(wanted.num_measured, SHOWN_CODES)(trained)
    counts = outcome.arrays
    charts = [usage(level, counts[f"codebook/{level}_counts"]) for level in trained.levels]
    rows = [_decoded(trained, i, counts[f"codebook/{level}_counts"]) for i, level in enumerate(trained.levels)]
    used = [f"{level}: {_used(outcome.records['codebook'][level])}" for level in trained.levels]
    options = {"num_images": wanted.num_measured, "num_codes": SHOWN_CODES}
    note = f"What the {SHOWN_CODES} most used codes of each level decode to, the most used first."
    return _Made(
        [Charts(charts), Pictures(rows, note)],
        f"Codes of {wanted.num_measured:,} test images. {'; '.join(used)}.",
        options,
    )


def _decoded(trained: TrainedRun, level: int, counts: Int[ndarray, " k"]) -> Picture:
    """The images of the most used codes of a level."""
    most = torch.from_numpy(counts).argsort(descending=True)[:SHOWN_CODES]
    images = to_bytes(code_images(trained.coder, level, most)).numpy()
    return row(f"{trained.levels[level]} codes", images, SHOWN_CODES // 4)


def _used(record: object) -> str:
    assert isinstance(record, Mapping)
    usage, perplexity, number = record["codebook_usage"], record["perplexity"], record["num_embeddings"]
    return f"{usage:.1%} of {number} codes in use, perplexity {perplexity:.1f}"


def _latents(trained: TrainedRun, wanted: Wanted) -> _Made:
    """Where images lie among the latents, by label; of two dimensions, what the plane decodes to."""
    outcome = Latents(wanted.num_measured, side=16)(trained)
    z, label = torch.from_numpy(outcome.arrays["latents/z"]), outcome.arrays.get("latents/label")
    plane = plots.principal_plane(z).points if z.shape[1] != 2 else z
    axes = "z[0] across, z[1] upwards" if z.shape[1] == 2 else "the two axes of greatest variance"
    parts: list[Charts | Pictures] = [Charts([scatter(plane.numpy(), label, trained.class_names, axes)])]
    if "plane" in outcome.pictures:
        parts.append(
            Pictures([Picture("decoded plane", _pixels(outcome, "plane"), 5)], "What a grid over the plane decodes to.")
        )
    note = f"Latent vectors of {len(z):,} test images" + (", by label." if label is not None else ".")
    return _Made(parts, note, {"num_images": wanted.num_measured, "side": 16})


def _rows(outcome: Outcome, name: str) -> list[Picture]:
    """The rows of a sheet of images, by their names."""
    return [row(key.partition("/")[2], images) for key, images in _arrays(outcome, name)]


def _arrays(outcome: Outcome, name: str) -> Iterator[tuple[str, UInt8[ndarray, "n c h w"]]]:
    return ((key, array) for key, array in outcome.arrays.items() if key.startswith(f"{name}/"))


def _pixels(outcome: Outcome, name: str) -> UInt8[ndarray, "h w 3"]:
    """A picture as bytes."""
    return to_bytes(outcome.pictures[name]).cpu().numpy().transpose(1, 2, 0)


MAKERS: dict[str, tuple[type[Task], Callable[[TrainedRun, Wanted], _Made]]] = {
    "Samples": (Sample, _samples),
    "Reconstructions": (Reconstruct, _reconstructions),
    "Completions": (Complete, _completions),
    "Likelihood": (NLL, _likelihood),
    "Levels": (Levels, _levels),
    "Codebooks": (Codebook, _codebook),
    "Latent space": (Latents, _latents),
    "Traversals": (Traverse, _traversals),
    "Interpolations": (Interpolate, _interpolations),
}
"""The sections by their titles, in their order, each with the task that says whether a run can have it."""
