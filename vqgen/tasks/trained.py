"""What a task is given, and what it gives back."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from vqgen import figures
from vqgen.errors import UserError


def _no_other(path: str) -> Any:
    raise LookupError(f"no way to open '{path}' is given")


class Trained(NamedTuple):
    """A trained run, ready to use.

    `model` is the run's module; `priors` are those of each level, top first, and `tokenizer` is whose codes they
    learnt (none, for an autoencoder's run); `images` opens the data module that the run was trained on; `class_names`
    and `attribute_names` are the names of its labels and attributes; `step` is the optimiser step of the checkpoint
    and `seed` the one that the run was trained with; `open` opens another run by its path; `steps` are the
    names and steps of several priors; `data` is what the run has read (vqgen.provenance).
    """

    model: Any
    priors: list[Any]
    tokenizer: Any | None
    images: Callable[[], Any]
    folder: Path
    class_names: list[str]
    step: int
    attribute_names: Sequence[str] = ()
    seed: int = 0
    open: Callable[[str], Any] = _no_other
    steps: dict[str, int] | None = None
    data: Mapping[str, Any] = {}

    @property
    def kind(self) -> str:
        """What the model is, for messages."""
        return type(self.model).__name__

    @property
    def a_kind(self) -> str:
        """The same with its article."""
        return f"{'an' if self.kind[0] in 'AEIO' else 'a'} {self.kind}"

    @property
    def autoencoder(self) -> Any:
        """The model that makes images: of a prior's run its tokenizer, else the run's own."""
        return self.tokenizer or self.model

    @property
    def levels(self) -> list[str]:
        """Names of the levels of codes, top first; empty for a model without codes."""
        return list(getattr(self.autoencoder, "level_names", []))

    @property
    def has_latents(self) -> bool:
        """Whether an image is one latent vector to the model."""
        return hasattr(self.autoencoder, "latent_dim")

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
        steps = self.steps or {self.folder.name: self.step}
        named = " and ".join(f"{name}, step {step:,}" for name, step in steps.items())
        return f"{named}, trained with seed {self.seed}{drawn}"

    def batch(self, index: Sequence[int], split: str = "test") -> Any:
        """The images (with labels) of these numbers, on the model's device.

        Raises:
            UserError: the split has no such image.
        """
        images = self.images()
        size = len(images.split(split).images)
        if outside := [i for i in index if not 0 <= i < size]:
            raise UserError(f"image {outside[0]}: the {split} split has {size} images, from 0 to {size - 1}")
        batch = images.batch(split, np.array(index, np.int64))
        label = None if batch.label is None else batch.label.to(self.model.device)
        return batch._replace(x=batch.x.to(self.model.device), label=label)

    def from_file(self, path: str | Path, channels: int | None = None) -> Any:
        """An image file, prepared as the images that the run was trained on: `x`, `inside` and `said` of it.

        Args:
            path: of any format that the data are read from.
            channels: 1 for grey, 3 for RGB; None for those of the run's images.

        Raises:
            UserError: it cannot be read as an image.
        """
        image = self.images().from_file(path, channels)
        return image._replace(x=image.x.to(self.model.device))

    def first(self, num: int, split: str = "test") -> Any:
        """The first `num` images of a split, or all where it has fewer."""
        return self.batch(range(min(num, self.num_images(split))), split)

    def num_images(self, split: str = "test") -> int:
        """Number of images in a split."""
        return len(self.images().split(split).images)

    def batches(self, num: int, split: str = "test", size: int = 128) -> Iterator[Any]:
        """The first `num` images of a split, `size` at a time."""
        num = min(num, self.num_images(split))
        return (self.batch(range(start, min(start + size, num)), split) for start in range(0, num, size))


@dataclass(frozen=True)
class Outcome:
    """What a task made, by name; `text` sums it up for the terminal.

    `pictures` in [-1, 1] become PNG files pixel by pixel, `plots` (of matplotlib) PNG files for print, `records`
    (numbers and text, nested) JSON files, and `files` are written as they are. `arrays` are written on request: that
    of the name "codes/top" as `top` in codes.npz, that of a name without a stroke into a file of its own.
    `metrics` are logged with the run's own loggers.
    """

    pictures: dict[str, Float[Tensor, "3 H W"]] = field(default_factory=dict)
    arrays: dict[str, ndarray] = field(default_factory=dict)
    text: str = ""
    plots: dict[str, Figure] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def write(self, folder: str | Path, arrays: bool = False) -> list[Path]:
        """Write everything into a folder, which is made; `arrays` on request. Returns the files."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = [figures.save_png(picture, folder / f"{name}.png") for name, picture in self.pictures.items()]
        written += [figures.save_plot(plot, folder / f"{name}.png") for name, plot in self.plots.items()]
        texts = {f"{name}.json": json.dumps(record, indent=1) + "\n" for name, record in self.records.items()}
        for name, contents in ({name: text.encode() for name, text in texts.items()} | self.files).items():
            written.append(folder / name)
            written[-1].write_bytes(contents)
        return written + (self._write_arrays(folder) if arrays else [])

    def _write_arrays(self, folder: Path) -> list[Path]:
        """One npz for each FILE of the names FILE/NAME."""
        files: dict[str, dict[str, Any]] = {}
        for key, array in self.arrays.items():
            file, _, name = key.partition("/")
            files.setdefault(file, {})[name or file] = array
        for file, contents in files.items():
            np.savez_compressed(folder / f"{file}.npz", **contents)
        return [folder / f"{file}.npz" for file in files]
