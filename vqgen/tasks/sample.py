"""Draw images from a prior, or from a VAE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from vqgen.batch import Given, from_bytes, to_bytes
from vqgen.drawing import NEUTRAL, Sampler, Sampling
from vqgen.errors import UserError, near_miss
from vqgen.measure.likelihood import taken
from vqgen.measure.sources import drawn, lacks_samples
from vqgen.pictures import figures, plots
from vqgen.protocols import Variational
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import label_index
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, code_arrays

MAX_COLUMNS = 20
"""Most classes that have a column each in a picture."""

MAX_SHOWN = 1024
"""Most images in a picture."""


@dataclass
class Sample(Task):
    """Codes drawn from the prior, decoded by its tokenizer; or a VAE's images of z ~ N(0, I).

    All but `num_samples` and the seed belong to priors.

    Args:
        num_samples: how many images.
        label: class of the images, by number or name; None draws every class in turn.
        condition: what else is given of the images, a number by name; what is left out is not given.
        size: height and width of the images, or one number for both; None for those of training.
        sampling: temperature and the like. The same seed gives the same images, on one machine with one number of
            threads.
        sampler: how maps are drawn; None for the usual way of such a prior.
        batch_size: images at a time.
    """

    num_samples: int = 16
    label: int | str | None = None
    condition: Mapping[str, int] | None = None
    size: int | Sequence[int] | None = None
    sampling: Sampling = NEUTRAL
    sampler: Sampler | None = None
    batch_size: int = 250
    lacks = staticmethod(lacks_samples)

    def __post_init__(self) -> None:
        at_least(1, num_samples=self.num_samples, batch_size=self.batch_size)
        if not isinstance(self.size, int | None) and len(self.size) != 2:
            raise UserError(f"size={self.size}: height and width of the images, for instance size=[32,48]")

    def make(self, trained: TrainedRun) -> Outcome:
        """Samples and their code maps; where the classes are drawn in turn and are few, each has a column."""
        if isinstance(trained.model, Variational):
            return self._generate(trained)
        columns = self._columns(trained)
        images, codes = self._drawn(trained, self._given(trained))
        shown = self._shown(trained, images, self._note(trained), columns)
        pictures, maps, size = {}, {}, self._size or trained.coder.shape[1:]
        for name, c, k in zip(trained.levels, codes, trained.coder.num_embeddings, strict=True):
            colours = figures.code_map(c[:MAX_SHOWN], k, (size[0], size[1]))
            pictures[f"codes_{name}"] = figures.grid(colours, len(columns) or None)
            maps[f"{name}, {c.shape[1]}x{c.shape[2]}"] = pictures[f"codes_{name}"]
        plot = plots.titled(maps, trained.title(self.sampling.seed), "code maps of the samples, a colour for each code")
        return shown | Outcome(pictures, code_arrays(trained, codes), plots={"codes_labelled": plot})

    def _drawn(self, trained: TrainedRun, given: Given) -> tuple[UInt8[Tensor, "n c h w"], list[Int[Tensor, "n _ _"]]]:
        """All images, as bytes, and the codes of each level, in the CPU's memory."""
        parts = [
            (to_bytes(part.images).cpu(), [codes.cpu() for codes in part.codes])
            for part in drawn(
                trained, self.num_samples, given, self.sampling, self.batch_size, self.sampler, self._size
            )
        ]
        images, codes = zip(*parts, strict=True)
        return torch.cat(images), [torch.cat(level) for level in zip(*codes, strict=True)]

    @property
    def _size(self) -> Sequence[int] | None:
        """Height and width of the images, where they are asked for."""
        return [self.size, self.size] if isinstance(self.size, int) else self.size

    def _generate(self, trained: TrainedRun) -> Outcome:
        """Images of a VAE."""
        if self.label is not None:
            raise UserError(f"label={self.label}: a VAE knows no labels; leave it out")
        if self.size is not None:
            raise UserError(f"size={self.size}: a VAE draws images of the size that it was trained on; leave it out")
        self.sampling.of_levels([])
        images, _ = self._drawn(trained, {})
        return self._shown(trained, images, "decoded from z ~ N(0, I)")

    def _shown(
        self, trained: TrainedRun, images: UInt8[Tensor, "n c h w"], note: str, columns: Sequence[str] = ()
    ) -> Outcome:
        """A grid of images, as a picture and as a figure."""
        picture = figures.grid(from_bytes(images[:MAX_SHOWN]), len(columns) or None)
        if len(images) > MAX_SHOWN:
            note = f"{note}{', ' if note else ''}the first {MAX_SHOWN:,} of {len(images):,} (arrays=true writes all)"
        plot = plots.titled({"": picture}, trained.title(self.sampling.seed), note, columns)
        arrays = {"samples": images.numpy()}
        return Outcome({"samples": picture}, arrays, plots={"samples_labelled": plot})

    def _columns(self, trained: TrainedRun) -> list[str]:
        """Names of the classes, where they are drawn in turn and a column for each makes a good picture."""
        number = trained.num_classes
        if self.label is not None or not 1 < number <= MAX_COLUMNS or not number < self.num_samples <= 2 * number**2:
            return []
        return trained.class_names if len(trained.class_names) == number else [f"class {i}" for i in range(number)]

    def _note(self, trained: TrainedRun) -> str:
        """What was drawn, and by which options."""
        what = ["every class in turn"] if trained.num_classes and self.label is None else []
        if self.label is not None:
            number = label_index(self.label, trained)
            what = [f"class {trained.class_names[number] if trained.class_names else number}"]
        settings = {**(self.condition or {}), **self.sampling.changed()}
        return ", ".join(what + [f"{name}={value}" for name, value in settings.items()])

    def _given(self, trained: TrainedRun) -> dict[str, Tensor]:
        """The label of each image, and the other conditions that are asked for, by name."""
        number, others = self.num_samples, {*taken(trained.priors)} - {"label"}
        given = {}
        for name, value in (self.condition or {}).items():
            if name not in others:
                there_are = near_miss(name, others) if others else "; this prior takes none"
                raise UserError(f"condition={{{name}:{value}}}: there is no such condition{there_are}")
            if not isinstance(value, int):
                raise UserError(f"condition={{{name}:{value}}}: expected a number, from 0")
            given[name] = torch.full((number,), value)
        if self.label is not None:
            return {"label": torch.full((number,), label_index(self.label, trained)), **given}
        return {"label": torch.arange(number) % trained.num_classes, **given} if trained.num_classes else given
