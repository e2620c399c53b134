"""Draw images from a prior, or from a VAE."""

from typing import Any

import torch

from vqgen import figures
from vqgen.errors import UserError, near_miss
from vqgen.tasks.trained import Outcome, Trained


class Sample:
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

    def __call__(self, trained: Trained) -> Outcome:
        """A grid of samples and of their code maps.

        Raises:
            UserError: the run is neither prior nor VAE, or has no such label.
        """
        if hasattr(trained.model, "generate"):
            return self._generate(trained.model)
        if trained.tokenizer is None:
            raise UserError(
                f"task=sample draws from a prior, and '{trained.folder}' is a {trained.kind}: train its prior with "
                f"python train.py model=gated_pixelcnn tokenizer={trained.folder}, or see task=reconstruct"
            )
        levels = trained.tokenizer.level_names
        if [prior.level for prior in trained.priors] != list(range(len(levels))):
            raise UserError(
                f"an image has codes of the levels {', '.join(levels)}, and here is the prior of "
                f"{', '.join(levels[prior.level] for prior in trained.priors)}: give one of each, run=[TOP,BOTTOM]"
            )
        labels = self._labels(trained)
        options = per_level(self.options, levels)
        codes: list[torch.Tensor] = []
        for prior, chosen in zip(trained.priors, options, strict=True):
            seed = self.seed + prior.level
            codes.append(prior.sample(self.num_samples, codes, labels, **chosen, seed=seed, progress=True))
        images = trained.tokenizer.decode(codes)
        size = (images.shape[2], images.shape[3])
        maps = zip(levels, codes, trained.tokenizer.num_embeddings, strict=True)
        pictures = {f"codes_{name}": figures.grid(figures.code_map(c, k, size)) for name, c, k in maps}
        arrays = {f"codes_{name}": c.cpu().numpy() for name, c in zip(levels, codes, strict=True)}
        return Outcome(
            {"samples": figures.grid(images), **pictures},
            {"samples": figures.to_uint8(images).cpu().numpy(), **arrays},
        )

    def _generate(self, model: Any) -> Outcome:
        """Images of a VAE."""
        if self.label is not None:
            raise UserError(f"label={self.label}: a VAE knows no labels; leave it out")
        images = model.generate(self.num_samples, self.seed)
        return Outcome({"samples": figures.grid(images)}, {"samples": figures.to_uint8(images).cpu().numpy()})

    def _labels(self, trained: Trained) -> torch.Tensor | None:
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
    if isinstance(label, str) and label in class_names:
        return class_names.index(label)
    if isinstance(label, int) and 0 <= label < num_classes:
        return label
    raise UserError(f"label={label}: no such class{near_miss(str(label), class_names or map(str, range(num_classes)))}")
