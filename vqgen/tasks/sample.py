"""Draw images from a prior, or from a VAE."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.errors import UserError, near_miss
from vqgen.measure import sources
from vqgen.pictures import figures, plots
from vqgen.runs.trained import Trained
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least

MAX_COLUMNS = 20
"""Most classes that have a column each in a picture."""

NEUTRAL: dict[str, Any] = {"temperature": 1.0, "top_k": None, "top_p": None, "guidance": 1.0}
"""Options of a prior that change nothing."""


class Sample(Task):
    """Codes drawn from the prior, decoded by its tokenizer; or a VAE's images of z ~ N(0, I).

    All but `num_samples` and `seed` belong to priors.

    Args:
        num_samples: how many images.
        label: class of the images, by number or name; None draws every class in turn.
        temperature: divides the logits; below 1 likelier and less varied, 1 as learnt. This and the next three are
            one value for all levels or a list of one for each, top first.
        top_k: draw among the k likeliest codes only; None among all.
        top_p: draw among the likeliest codes that together have this probability; None among all.
        guidance: weight of classifier-free guidance; 1 is none, 1.5 to 4 is truer to the label and less varied.
        seed: the same seed gives the same images, on one machine with one number of threads.
    """

    def __init__(
        self,
        num_samples: int = 16,
        label: int | str | None = None,
        temperature: float | list[float] = 1.0,
        top_k: int | list[int | None] | None = None,
        top_p: float | list[float | None] | None = None,
        guidance: float | list[float] = 1.0,
        seed: int = 0,
    ) -> None:
        at_least(1, num_samples=num_samples)
        self.num_samples = num_samples
        self.label = label
        self.options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "guidance": guidance}
        self.seed = seed

    @staticmethod
    def lacks(trained: Trained) -> str:
        """A VAE, or the prior of every level."""
        return sources.lacks_samples(trained)

    def make(self, trained: Trained) -> Outcome:
        """Samples and their code maps; where the classes are drawn in turn and are few, each has a column.

        Raises:
            UserError: the run has no such label.
        """
        if hasattr(trained.model, "generate"):
            return self._generate(trained)
        levels, labels = trained.levels, self._labels(trained)
        codes: list[Tensor] = []
        for prior, chosen in zip(trained.priors, per_level(self.options, levels), strict=True):
            label = labels if prior.num_classes else None
            codes.append(prior.sample(self.num_samples, codes, label, **chosen, seed=self.seed, progress=True))
        columns = self._columns(trained)
        outcome = self._shown(trained, trained.autoencoder.decode(codes), self._note(trained), columns)
        maps = self._maps(trained, codes, len(columns) or None)
        plot = plots.titled(maps, trained.title(self.seed), "code maps of the samples, a colour for each code")
        return Outcome(
            outcome.pictures | {f"codes_{name}": picture for name, picture in zip(levels, maps.values(), strict=True)},
            outcome.arrays | {f"codes/{name}": c.cpu().numpy() for name, c in zip(levels, codes, strict=True)},
            plots=outcome.plots | {"codes_labelled": plot},
        )

    def _generate(self, trained: Trained) -> Outcome:
        """Images of a VAE."""
        if self.label is not None:
            raise UserError(f"label={self.label}: a VAE knows no labels; leave it out")
        per_level(self.options, [])
        return self._shown(trained, trained.model.generate(self.num_samples, self.seed), "decoded from z ~ N(0, I)")

    def _shown(
        self, trained: Trained, images: Float[Tensor, "b c h w"], note: str, columns: Sequence[str] = ()
    ) -> Outcome:
        """A grid of images, as a picture and as a figure."""
        picture = figures.grid(images, len(columns) or None)
        plot = plots.titled({"": picture}, trained.title(self.seed), note, columns)
        arrays = {"samples": figures.to_uint8(images).cpu().numpy()}
        return Outcome({"samples": picture}, arrays, plots={"samples_labelled": plot})

    def _maps(self, trained: Trained, codes: list[Tensor], columns: int | None) -> dict[str, Float[Tensor, "3 H W"]]:
        """The code maps of each level, in the order of the samples."""
        _, height, width = trained.autoencoder.shape
        return {
            f"{name}, {c.shape[1]}x{c.shape[2]}": figures.grid(figures.code_map(c, k, (height, width)), columns)
            for name, c, k in zip(trained.levels, codes, trained.autoencoder.num_embeddings, strict=True)
        }

    def _columns(self, trained: Trained) -> list[str]:
        """Names of the classes, where they are drawn in turn and a column for each makes a good picture."""
        number = trained.model.num_classes
        if self.label is not None or not 1 < number <= MAX_COLUMNS or not number < self.num_samples <= 2 * number**2:
            return []
        return trained.class_names if len(trained.class_names) == number else [f"class {i}" for i in range(number)]

    def _note(self, trained: Trained) -> str:
        """What was drawn, and by which options."""
        what = ["every class in turn"] if trained.model.num_classes and self.label is None else []
        if self.label is not None:
            number = label_index(self.label, trained.model.num_classes, trained.class_names)
            what = [f"class {trained.class_names[number] if trained.class_names else number}"]
        return ", ".join(what + [f"{k}={v}" for k, v in self.options.items() if v != NEUTRAL[k]])

    def _labels(self, trained: Trained) -> Tensor | None:
        """One label per image."""
        num_classes = trained.model.num_classes
        if not num_classes:
            if self.label is not None:
                raise UserError(f"label={self.label}: '{trained.folder}' was trained without labels")
            return None
        if self.label is None:
            return torch.arange(self.num_samples) % num_classes
        return torch.full((self.num_samples,), label_index(self.label, num_classes, trained.class_names))


def per_level(options: dict[str, Any], levels: list[str]) -> list[dict[str, Any]]:
    """The options of each level, from options that are one value for all levels or a list of one for each.

    Raises:
        UserError: a list of another length, or an option of priors where there are none.
    """
    for name, value in options.items():
        if not levels and value != NEUTRAL[name]:
            raise UserError(f"{name}={value}: this is an option of priors; a VAE draws z ~ N(0, I). Leave it out")
        if isinstance(value, list) and len(value) != len(levels):
            raise UserError(f"{name}={value}: give one value, or one for each of the levels {', '.join(levels)}")
    return [{k: v[i] if isinstance(v, list) else v for k, v in options.items()} for i in range(len(levels))]


def label_index(label: int | str, num_classes: int, class_names: list[str]) -> int:
    """Number of a class given by number or name.

    Raises:
        UserError: there is no such class.
    """
    if str(label) in class_names:   # a class may be called by a number
        return class_names.index(str(label))
    if isinstance(label, int) and 0 <= label < num_classes:
        return label
    raise UserError(f"label={label}: no such class{near_miss(str(label), class_names or map(str, range(num_classes)))}")
