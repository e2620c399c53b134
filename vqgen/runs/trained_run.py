"""What a task is given, and what it gives back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn

from vqgen.batch import FileImage, ImageBatch
from vqgen.errors import UserError
from vqgen.protocols import Autoencoder, Images, LatentAutoencoder, Prior, Tokenizer
from vqgen.runs.folders import run_name
from vqgen.runs.run import Run


def _no_other(path: str) -> "TrainedRun":
    raise LookupError(f"no way to open '{path}' is given")


def on_device(batch: ImageBatch, device: torch.device | str) -> ImageBatch:
    """A batch with all its tensors on a device."""
    given = {name: values.to(device) for name, values in batch.given.items()}
    return ImageBatch(batch.x.to(device), given, batch.index.to(device))


class TrainedRun(NamedTuple):
    """A trained run, ready to use.

    `model` is the run's module; `priors` are those of each level, top first, and `tokenizer` is whose codes they
    learnt (none, for an autoencoder's run); `images` opens the data module that the run was trained on; `class_names`
    and `attribute_names` are the names of its labels and attributes; `step` is the optimiser step of the checkpoint
    and `seed` the one that the run was trained with; `open` opens another run by its path; `steps` are the
    names and steps of several priors; `data` is what the run has read (vqgen.runs.provenance); `runs` are those of
    `modules` as they are on disk, empty while they are trained.
    """

    model: nn.Module
    priors: list[Prior]
    tokenizer: Tokenizer | None
    images: Callable[[], Images]
    folder: Path
    class_names: list[str]
    step: int
    attribute_names: Sequence[str] = ()
    seed: int = 0
    open: Callable[[str], "TrainedRun"] = _no_other
    steps: dict[str, int] | None = None
    data: Mapping[str, object] = {}
    runs: Sequence[Run] = ()

    @property
    def kind(self) -> str:
        """What the model is, for messages."""
        return type(self.model).__name__

    @property
    def a_kind(self) -> str:
        """The same with its article."""
        return f"{'an' if self.kind[0] in 'AEIO' else 'a'} {self.kind}"

    @property
    def name(self) -> str:
        """What the run is called; of priors side by side, what the folder of them is."""
        places = {run.folder.parent for run in self.runs[1:]}
        return run_name(places.pop() if len(self.runs) > 2 and len(places) == 1 else self.folder)

    @property
    def autoencoder(self) -> Autoencoder:
        """The model that makes images: of a prior's run its tokenizer, else the run's own (which may be none)."""
        return cast(Autoencoder, self.tokenizer or self.model)

    @property
    def modules(self) -> list[nn.Module]:
        """All models: the tokenizer and its priors, or the run's own."""
        priors = dict.fromkeys(getattr(prior, "owner", prior) for prior in self.priors)
        both = [self.tokenizer, *priors] if self.tokenizer else [self.model]
        return [cast(nn.Module, model) for model in both]

    @property
    def coder(self) -> Tokenizer:
        """The model with codes: of a prior's run its tokenizer, else the run's own. The run must have one."""
        assert isinstance(self.autoencoder, Tokenizer)
        return self.autoencoder

    @property
    def latent(self) -> LatentAutoencoder:
        """The model with one latent vector. The run must have one."""
        assert isinstance(self.autoencoder, LatentAutoencoder)
        return self.autoencoder

    @property
    def device(self) -> torch.device:
        """Where the models compute."""
        return cast(Autoencoder, self.tokenizer or self.model).device  # a classifier has one, too

    @property
    def num_classes(self) -> int:
        """Number of classes that the priors know; 0 without."""
        return max((prior.num_classes for prior in self.priors), default=0)

    @property
    def levels(self) -> list[str]:
        """Names of the levels of codes, top first; empty for a model without codes."""
        coder = self.tokenizer or self.model
        return list(coder.level_names) if isinstance(coder, Tokenizer) else []

    @property
    def has_latents(self) -> bool:
        """Whether an image is one latent vector to the model."""
        return isinstance(self.tokenizer or self.model, LatentAutoencoder)

    @property
    def missing_priors(self) -> list[str]:
        """Names of the levels of codes that no prior is given for."""
        given = {prior.level for prior in self.priors}
        return [name for level, name in enumerate(self.levels) if level not in given]

    def title(self, seed: int | None = None) -> str:
        """Run, step and seed, for figures.

        Args:
            seed: of what was drawn for the figure; None where nothing was.
        """
        drawn = "" if seed is None else f", drawn with seed {seed}"
        steps = self.steps or {self.name: self.step}
        named = " and ".join(f"{name}, step {step:,}" for name, step in steps.items())
        return f"{named}, trained with seed {self.seed}{drawn}"

    def batch(self, index: Sequence[int], split: str = "test") -> ImageBatch:
        """The images (with labels) of these numbers, on the model's device.

        Raises:
            UserError: the split has no such image.
        """
        images = self.images()
        size = len(images.split(split).images)
        if outside := [i for i in index if not 0 <= i < size]:
            raise UserError(f"image {outside[0]}: the {split} split has {size} images, from 0 to {size - 1}")
        batch = images.batch(split, np.array(index, np.int64))
        return on_device(batch, self.device)

    def from_file(self, path: str | Path, channels: int | None = None) -> FileImage:
        """An image file, prepared as the images that the run was trained on: `x`, `inside` and `said` of it.

        Args:
            path: of any format that the data are read from.
            channels: 1 for grey, 3 for RGB; None for those of the run's images.

        Raises:
            UserError: it cannot be read as an image.
        """
        image = self.images().from_file(path, channels)
        return image._replace(x=image.x.to(self.device))

    def first(self, num: int, split: str = "test") -> ImageBatch:
        """The first `num` images of a split, or all where it has fewer."""
        return self.batch(range(min(num, self.num_images(split))), split)

    def num_images(self, split: str = "test") -> int:
        """Number of images in a split."""
        return len(self.images().split(split).images)

    def batches(self, num: int, split: str = "test", size: int = 128) -> Iterator[ImageBatch]:
        """The first `num` images of a split, `size` at a time."""
        num = min(num, self.num_images(split))
        return (self.batch(range(start, min(start + size, num)), split) for start in range(0, num, size))
