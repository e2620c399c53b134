"""Keep a part of an image and draw the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from vqgen.batch import FileImage, ImageBatch
from vqgen.drawing import NEUTRAL, KnownCodes, Sampler, Sampling
from vqgen.errors import UserError, near_miss
from vqgen.measure.sources import Drawn, draw_levels, lacks_priors
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.images import chosen, name_of
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, code_arrays, not_empty, sheet

HALVES = {
    "top": (0.0, 0.0, 0.5, 1.0),
    "bottom": (0.5, 0.0, 1.0, 1.0),
    "left": (0.0, 0.0, 1.0, 0.5),
    "right": (0.0, 0.5, 1.0, 1.0),
}
"""Top, left, bottom and right edge as parts of height and width."""


@dataclass
class Complete(Task):
    """Test images of which a part is kept and the rest drawn from the priors of all levels, several times over.

    A code is kept where the whole cell of pixels that it stands for is kept. It comes from the encoder, which sees a
    few cells around, so that the codes at the edge know a little of what is hidden. A causal prior draws codes from
    those before them in raster order alone: what is kept below and to the right of a hole has no say in it. With a
    masked prior all that is kept counts.

    Args:
        keep: the part to keep: top, bottom, left or right (halves), a box as [top, left, bottom, right] in parts of
            height and width, or an image file of which the white is kept: as large as the data's own files, or of
            another size, and then its middle is resized as theirs is.
        invert: keep what is outside that part, so that a box is a hole to be filled.
        images: test images by number, or image files.
        label: class of image files, by number or name; test images have their own.
        num_samples: completions of each.
        sampling: as for task=sample; completions are given the images' own labels.
        sampler: how maps are drawn; None for the usual way of such a prior.
    """

    keep: str | Sequence[float] = "top"
    invert: bool = False
    images: Sequence[int | str] = (0, 1, 2, 3, 4, 5)
    label: int | str | None = None
    num_samples: int = 6
    sampling: Sampling = NEUTRAL
    sampler: Sampler | None = None
    lacks = staticmethod(lacks_priors)

    def __post_init__(self) -> None:
        at_least(1, num_samples=self.num_samples)
        not_empty(images=self.images)

    def make(self, trained: TrainedRun) -> Outcome:
        """A row for each image: the original, what is kept, and the completions."""
        batch, n = chosen(trained, self.images, self.label), self.num_samples
        mask = kept(self.keep, trained.autoencoder.shape[1:], self.invert, trained.from_file).to(batch.x.device)
        drawn, codes = completions(trained, batch, mask, n, self.sampling, self.sampler)
        rows = {}
        for i, (image, x) in enumerate(zip(self.images, batch.x, strict=True)):
            rows[name_of(image)] = torch.cat([x[None], hidden(x, mask)[None], drawn[i * n : (i + 1) * n]])
        columns = ["original", "kept", *(f"drawn {i}" for i in range(1, n + 1))]
        note = "what is grey is not kept, and drawn from the priors of all levels"
        shown = sheet("completions", rows, trained.title(self.sampling.seed), columns, note)
        return shown | Outcome(arrays=code_arrays(trained, codes))


def completions(
    trained: TrainedRun,
    batch: ImageBatch,
    mask: Bool[Tensor, "h w"],
    num_samples: int,
    sampling: Sampling,
    sampler: Sampler | None = None,
    progress: bool = True,
) -> Drawn:
    """`num_samples` completions of each image, one image's after another's, where `mask` says which pixels are kept."""
    own = [c.repeat_interleave(num_samples, 0) for c in trained.coder.encode(batch.x)]
    given = {name: values.repeat_interleave(num_samples, 0) for name, values in batch.given.items()}
    known = [KnownCodes(code_mask(mask, c.shape[1:], trained.coder.codes_per_place).expand_as(c), c) for c in own]
    size = num_samples * len(batch.x)
    codes = draw_levels(trained, size, given, sampling, sampler, known=known, progress=progress)
    return Drawn(trained.autoencoder.decode(codes), codes)


def kept(
    keep: str | Sequence[float], size: Sequence[int], invert: bool, from_file: Callable[..., FileImage]
) -> Bool[Tensor, "h w"]:
    """Which pixels of an image of `size` = (height, width) are kept; arguments as for `Complete`.

    `from_file` prepares an image file as the images of the run are (`TrainedRun.from_file`). Raises UserError where
    there is no such part or file, or the box is none.
    """
    if isinstance(keep, str) and keep not in HALVES:
        mask = _mask_file(keep, from_file)
    else:
        box = HALVES[keep] if isinstance(keep, str) else keep
        if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise UserError(f"keep={list(box)}: a box is [top, left, bottom, right], rising numbers from 0 to 1")
        top, left, bottom, right = (round(edge * side) for edge, side in zip(box, (*size, *size), strict=True))
        mask = torch.zeros(*size, dtype=torch.bool)
        mask[top:bottom, left:right] = True
    return ~mask if invert else mask


def _mask_file(path: str, from_file: Callable[..., FileImage]) -> Bool[Tensor, "h w"]:
    """The white of a file; of a border, what is white at its edge."""
    if not Path(path).exists():
        raise UserError(f"keep={path}: neither a half nor a mask image{near_miss(path, HALVES)}")
    x, (rows, columns), _ = from_file(path, channels=1)
    height, width = x.shape[1:]
    border = (columns.start, width - columns.stop, rows.start, height - rows.stop)
    return F.pad(x[:, rows, columns], border, mode="replicate")[0] > 0


def code_mask(mask: Bool[Tensor, "h w"], grid: Sequence[int], per_place: int = 1) -> Bool[Tensor, "gh gw"]:
    """Which codes of a grid are kept: those whose every pixel is; so many codes side by side are of one place."""
    cell = (mask.shape[0] // grid[0], mask.shape[1] // (grid[1] // per_place))
    kept = F.max_pool2d((~mask).float()[None], cell)[0] == 0
    return kept.repeat_interleave(per_place, dim=1)


def hidden(x: Float[Tensor, "c h w"], mask: Bool[Tensor, "h w"]) -> Float[Tensor, "c h w"]:
    """The image in grey where it is not kept."""
    return torch.where(mask, x, torch.zeros_like(x))
