"""The codes a tokenizer gives to the images of a source, kept on disk as plain arrays.

A store is a folder for each split: level0.npy (the top level) and so on, each n h w in the smallest unsigned type that
holds the codebook's size; labels.npy where the images have labels, and given_NAME.npy of whatever else is given of
them; meta.json, which says whose codes they are. Where the tokenizer's images are flipped in training, the second half
of its rows are the codes of the mirrored images.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from torch import Tensor, nn
from tqdm import tqdm

from vqgen.batch import SPLITS, from_bytes
from vqgen.data.files.array_file import ArrayFile, read_array
from vqgen.data.files.leftover import warn_of_leftovers
from vqgen.data.images import Images
from vqgen.data.loading.loader import Loader
from vqgen.data.loading.order import UndividedOrder
from vqgen.errors import DataError
from vqgen.runs.atomic import make_once, reading

Encode = Callable[[Float[Tensor, "b c h w"]], list[Int[Tensor, "b _ _"]]]

_FORMAT = 3
_MOST_IMAGES, _MOST_VALUES = 512, 2**24  # in a batch for the encoder


class CodeSplit(NamedTuple):
    """Code maps n h w of each level (top first) as memory maps, and what is given of the rows, by name."""

    codes: list[ndarray]
    given: dict[str, Shaped[ndarray, "n ..."]]
    num_images: int  # row i is image i % num_images, mirrored if i >= num_images


@dataclass(frozen=True)
class CodeStore:
    """Where the codes of one tokenizer and one source of images are, and how they get there."""

    images: Images  # the source; its `key` and the fingerprint name the folder
    fingerprint: str  # of all that decides the codes
    num_embeddings: Sequence[int]  # codebook size of each level, top first
    cache: Path  # folder of all code stores

    def folder(self, split: str) -> Path:
        """The folder of a split."""
        name = f"{split}-flipped" if self._repeats(split) > 1 else split
        return self.cache / f"{self.images.key}-{self.fingerprint[:12]}" / name

    def extract(self, split: str, encode: Encode) -> Path:
        """Write the codes of a split, unless they are there; other processes that ask for them wait.

        `encode` runs in evaluation mode on the device of the module whose method it is (a plain function: the CPU).
        """

        def write(folder: Path) -> None:
            data, repeats = self.images.split(split), self._repeats(split)
            rows = len(data.images) * repeats
            self._write_levels(split, encode, folder, rows)
            for name, values in data.given.items():
                np.save(folder / _file_of(name), np.concatenate([values] * repeats))
            others = {name: (values.shape[1:], str(values.dtype)) for name, values in data.others.items()}
            sizes = {"images": len(data.images), "rows": rows, "labels": data.labels is not None, "others": others}
            (folder / "meta.json").write_text(json.dumps(self._meta(split) | sizes, indent=1))
            if split == SPLITS[0]:
                store, ours = self.folder(split).parent, self._meta(split)
                warn_of_leftovers(store, "level0.npy", ours, ("fingerprint", "origin"), "source")

        return make_once(self.folder(split), write, self.cache)

    def read(self, split: str) -> CodeSplit:
        """The codes of a split, without a look at the images.

        Raises DataError where they are not of this tokenizer and these images, or not whole.
        """
        folder = self.folder(split)
        with reading(folder):
            found = json.loads((folder / "meta.json").read_text())
            for key, value in self._meta(split).items():
                if found.get(key) != value:
                    raise DataError(
                        f"{folder} holds codes of another {key}: {found.get(key)}, not {value}; delete it, and it is "
                        "made again."
                    )
            codes = [
                read_array(folder / f"level{i}.npy", (found["rows"], None, None), smallest_type(k))
                for i, k in enumerate(self.num_embeddings)
            ]
            rows, given = (found["rows"],), {}
            if found["labels"]:
                given["label"] = np.array(read_array(folder / _file_of("label"), rows, np.int64))
            for name, (shape, kind) in found.get("others", {}).items():
                given[name] = np.array(read_array(folder / _file_of(name), (*rows, *shape), kind))
            return CodeSplit(codes, given, int(found["images"]))

    def _meta(self, split: str) -> dict[str, object]:
        """Whose codes a split's are."""
        return {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "source": self.images.key,
            "origin": self.images.origin,
            "content": self.images.content(split),
            "split": split,
            "num_embeddings": list(self.num_embeddings),
        }

    def _repeats(self, split: str) -> int:
        return 2 if self.images.flip and split == "train" else 1

    def _write_levels(self, split: str, encode: Encode, folder: Path, n: int) -> None:
        bar = tqdm(total=n, desc=f"Codes of {split}", unit="image", smoothing=0.05)
        files: dict[int, ArrayFile] = {}
        with bar, ExitStack() as stack:
            for codes in self._encoded(split, encode):
                if len(codes) != len(self.num_embeddings):
                    levels = f"{len(codes)} levels, and num_embeddings={self.num_embeddings}"
                    raise DataError(f"The tokenizer gives {levels}.")
                for i, (code, k) in enumerate(zip(codes, self.num_embeddings, strict=True)):
                    array = code.cpu().numpy()
                    if array.min() < 0 or array.max() >= k:
                        found = f"{array.min()} to {array.max()}"
                        raise DataError(f"The tokenizer gives codes from {found} for {k} embeddings.")
                    if i not in files:
                        shape = (n, *array.shape[1:])
                        file = ArrayFile(folder / f"level{i}.npy", smallest_type(k), shape)
                        files[i] = stack.enter_context(file)
                    files[i].append(array)
                bar.update(len(codes[0]))

    def _encoded(self, split: str, encode: Encode) -> Iterator[list[Tensor]]:
        """The codes of all images in order, and then of all mirrored images, where they are flipped."""
        batch_size = max(1, min(_MOST_IMAGES, _MOST_VALUES // math.prod(self.images.shape)))
        order = UndividedOrder(self.images.count(split), batch_size)
        loader = Loader(self.images.fetch(split), order, self.images.num_workers)
        with _evaluating(encode) as device:
            for repeat in range(self._repeats(split)):
                for batch in loader:
                    x = from_bytes(batch.pixels.to(device, non_blocking=True))
                    yield encode(x.flip(-1) if repeat else x)


def _file_of(name: str) -> str:
    """Name of the file of what is given by a name."""
    return "labels.npy" if name == "label" else f"given_{name}.npy"


def smallest_type(num_embeddings: int) -> np.dtype:
    """The smallest unsigned type of the numbers 0 to num_embeddings - 1."""
    return np.min_scalar_type(num_embeddings - 1)


@contextmanager
def _evaluating(encode: Encode) -> Iterator[torch.device]:
    """No gradients, and the module of a bound method in evaluation mode; gives the module's device."""
    owner = getattr(encode, "__self__", None)
    module = owner if isinstance(owner, nn.Module) else nn.Module()
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    finally:
        module.train(training)
