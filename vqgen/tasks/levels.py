"""What each level of a hierarchy holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.errors import UserError
from vqgen.pictures import figures
from vqgen.protocols import Tokenizer
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, short
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, sheet


@dataclass
class Levels(Task):
    """Images decoded from some levels alone (figure 4 of arXiv 1906.00446), and from the levels of different images.

    Three pictures: `levels` adds one level after another, from the top, the others being zero vectors, and shows the
    bottom alone; in the grid `analogy` each row has the upper levels of one image and each column the bottom codes of
    another; `blends` goes from an image's own bottom to that of the next: their features are mixed and quantised anew.

    Args:
        num_samples: images of the test split in `levels`.
        images: those of the other two pictures, test images by number or image files.
        steps: images from one bottom to the other in `blends`, both ends included.
    """

    num_samples: int = 12
    images: Sequence[int | str] = (0, 1, 2, 3, 4, 5)
    steps: int = 7

    def __post_init__(self) -> None:
        at_least(1, num_samples=self.num_samples)
        if self.steps < 2 or len(self.images) < 2:
            raise UserError(f"steps={self.steps}, images={list(self.images)}: give two of each at least")

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """Several levels."""
        return "" if len(trained.levels) > 1 else "a VQ-VAE-2, with several levels of codes"

    def make(self, trained: TrainedRun) -> Outcome:
        """The three pictures; two of a tokenizer whose levels are a sum."""
        model, title = trained.coder, trained.title()
        x = chosen(trained, self.images).x
        upper, bottom = ", ".join(trained.levels[:-1]), trained.levels[-1]
        names = [short(image) for image in self.images]
        rows = _by_level(model, trained.levels, trained.first(self.num_samples).x)
        levels = sheet("levels", rows, title, note="decoded from some levels alone, the others being zero vectors")
        rows = analogy_rows(model, x, [f"{upper} {name}" for name in names])
        columns = ["original", *(f"{bottom} {name}" for name in names)]
        note = f"{upper} codes of the image on the left with the {bottom} codes of the image above"
        analogy = sheet("analogy", rows, title, columns, note)
        if len(model.features(x[:1])) < len(trained.levels):  # of a sum, whose last codes are of what others left
            return levels | analogy
        rows = blend_rows(model, x, names, self.steps)
        columns = [f"{round(100 * i / (self.steps - 1))} %" for i in range(self.steps)]
        note = f"{upper} codes of the first image; {bottom} features mixed, by the share of the second image's"
        mixed = sheet("blends", rows, title, columns, note)
        return levels | analogy | mixed


def _by_level(
    model: Tokenizer, names: Sequence[str], x: Float[Tensor, "b c h w"]
) -> dict[str, Float[Tensor, "b _ h w"]]:
    """Originals, the levels from the top one after another, the bottom alone, and what each level adds."""
    codes = model.encode(x)
    rows = {"original": x}
    for i in range(1, len(codes)):
        rows[f"{' + '.join(names[:i])} only" if i == 1 else " + ".join(names[:i])] = model.decode(codes[:i])
    rows["all levels"] = model.decode(codes)
    rows[f"{names[-1]} only"] = model.decode([*[None] * (len(codes) - 1), codes[-1]])
    size = (x.shape[2], x.shape[3])
    for name, c, k in zip(names, codes, model.num_embeddings, strict=True):
        rows[f"{name} codes {c.shape[1]}x{c.shape[2]}"] = figures.code_map(c, k, size)
    return rows


def analogy_rows(
    model: Tokenizer, x: Float[Tensor, "b c h w"], names: Sequence[str]
) -> dict[str, Float[Tensor, "_ c h w"]]:
    """A row for each image: itself, then its upper levels with the bottom codes of each; above, all of them."""
    *upper, bottom = model.encode(x)
    b = len(x)
    rows = {"original": torch.cat([torch.ones_like(x[:1]), x])}
    for i in range(b):
        own = [codes[i : i + 1].expand(b, -1, -1) for codes in upper]
        rows[names[i]] = torch.cat([x[i : i + 1], model.decode([*own, bottom])])
    return rows


def blend_rows(
    model: Tokenizer, x: Float[Tensor, "b c h w"], names: Sequence[str], steps: int
) -> dict[str, Float[Tensor, "_ c h w"]]:
    """A row for each image and its next: the upper codes of the first, the bottom from its own to the other's."""
    *upper, _ = model.encode(x)
    features = model.features(x)
    alpha = torch.linspace(0, 1, steps, device=x.device).view(-1, 1, 1, 1)
    rows = {}
    for i in range(len(x) - 1):
        bottom = torch.lerp(features[-1][i], features[-1][i + 1], alpha)
        own = [codes[i : i + 1].expand(steps, -1, -1) for codes in upper]
        all_features = [*(f[i : i + 1].expand(steps, -1, -1, -1) for f in features[:-1]), bottom]
        rows[f"{names[i]} to {names[i + 1]}"] = model.decode([*own, model.nearest(all_features)[-1]])
    return rows
