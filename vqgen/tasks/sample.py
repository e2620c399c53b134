"""Draw images from a prior, or from a VAE."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen import figures, plots
from vqgen.errors import UserError, near_miss
from vqgen.tasks.task import Task
from vqgen.tasks.trained import Outcome, Trained


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
        seed: the same seed gives the same images.
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
        self.num_samples = num_samples
        self.label = label
        self.options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "guidance": guidance}
        self.seed = seed

    @staticmethod
    def lacks(trained: Trained) -> str:
        """A VAE, or the prior of every level."""
        if hasattr(trained.model, "generate"):
            return ""
        if not trained.priors:
            return "a VAE or a prior (python train.py model=gated_pixelcnn tokenizer=RUN makes one)"
        missing = trained.missing_priors
        return f"the prior of every level, {', '.join(missing)} too: run=[TOP,BOTTOM]" if missing else ""

    def make(self, trained: Trained) -> Outcome:
        """A grid of samples and of their code maps.

        Raises:
            UserError: the run has no such label.
        """
        if hasattr(trained.model, "generate"):
            return self._generate(trained)
        tokenizer, labels, levels = trained.autoencoder, self._labels(trained), trained.levels
        codes: list[Tensor] = []
        for prior, chosen in zip(trained.priors, per_level(self.options, levels), strict=True):
            seed = self.seed + prior.level
            codes.append(prior.sample(self.num_samples, codes, labels, **chosen, seed=seed, progress=True))
        images = tokenizer.decode(codes)
        size = (images.shape[2], images.shape[3])
        maps = zip(levels, codes, tokenizer.num_embeddings, strict=True)
        pictures = {f"codes_{name}": figures.grid(figures.code_map(c, k, size)) for name, c, k in maps}
        arrays = {f"codes/{name}": c.cpu().numpy() for name, c in zip(levels, codes, strict=True)}
        outcome = self._shown(trained, images)
        return replace(outcome, pictures=outcome.pictures | pictures, arrays=outcome.arrays | arrays)

    def _generate(self, trained: Trained) -> Outcome:
        """Images of a VAE."""
        if self.label is not None:
            raise UserError(f"label={self.label}: a VAE knows no labels; leave it out")
        return self._shown(trained, trained.model.generate(self.num_samples, self.seed))

    def _shown(self, trained: Trained, images: Float[Tensor, "b c h w"]) -> Outcome:
        """A grid of images, as a picture and as a figure."""
        picture = figures.grid(images)
        arrays = {"samples": figures.to_uint8(images).cpu().numpy()}
        return Outcome(
            {"samples": picture}, arrays, plots={"samples_titled": plots.titled(picture, trained.title(self.seed))}
        )

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
        UserError: a list of another length.
    """
    for name, value in options.items():
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
