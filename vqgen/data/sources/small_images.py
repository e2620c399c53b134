"""Published images of one small size, which are downloaded and held in memory."""

import hashlib
import urllib.request
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Int64, UInt8
from numpy import ndarray
from tqdm import tqdm

from vqgen.data.error import OPTION, folder_of, require
from vqgen.data.images import Images, Split, hold_out
from vqgen.data.loading.batches import bordered
from vqgen.errors import DataError
from vqgen.runs.atomic import alone, replacing, require_space, writing

_TIMEOUT = 20.0  # seconds without an answer
_BLOCK = 2**16
NUM_VAL = 5000  # of the published training images


class Arrays(NamedTuple):
    """All images of a published split, and their classes."""

    images: UInt8[ndarray, "n c h w"]
    labels: Int64[ndarray, " n"]


class SmallImages(Images):
    """Images of `channels` and the size `native`; a larger `shape` gets a border of zeros.

    5,000 of the published training images, the same for every seed, are the validation split.

    Args:
        root: folder with the files; they are downloaded to it where they are nowhere else.
        Others as in Images.
    """

    root: Path
    channels: int
    native: tuple[int, int]
    how = "val is held out of the published training images"

    def __init__(self, root: str, **images: Any) -> None:
        super().__init__(**images)
        own = [self.channels, *self.native]
        fits = self.shape[0] == own[0] and self.shape[1] >= own[1] and self.shape[2] >= own[2]
        require(fits, "shape", list(self.shape), f"the images are {own}, and larger sizes get a border")
        self.root = folder_of("root", root)

    @abstractmethod
    def published(self, split: str) -> Arrays:
        """The published split "train" or "test"."""

    @property
    @abstractmethod
    def digests(self) -> Mapping[str, str]:
        """A hash of what is in each file, by name."""

    def source(self) -> dict[str, object]:
        """Hashes of what is in the files, and how the training images are split."""
        return {"content": self.digests, "num_val": NUM_VAL}

    def load(self, split: str) -> Split:
        """Read the split, and add the border."""
        self.prepare_data()
        x, labels = self.published("test" if split == "test" else "train")
        if split != "test":
            chosen = hold_out(len(x), NUM_VAL)[split]
            x, labels = x[chosen], labels[chosen]
        return Split(bordered(x, *self.held_shape[1:]), labels)

    def download(self, url: str, md5: str, missing: str, files: str) -> Path:
        """Put what `url` holds into the root. Raises DataError, which says what is `missing`, without network."""
        path = self.root / url.rpartition("/")[2]
        try:
            download(url, path, md5)
        except OSError as error:
            raise DataError(
                f"{missing}, and the download failed ({error}). Put {files} there, or set {OPTION} to where "
                "that is, or take data=shapes, which needs no files."
            ) from error
        return path


def download(url: str, path: Path, md5: str) -> None:
    """Put what `url` holds at `path`, unless it is there. A download that fails leaves nothing.

    Of our own, as pooch has neither a lock for several processes nor a look at the room on the disk. Raises OSError
    without network, and DataError where the checksum is wrong or the disk is full.
    """
    with alone(path):
        if path.exists():
            return
        digest = hashlib.md5(usedforsecurity=False)
        with replacing(path) as temporary:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, open(temporary, "wb") as file:
                size = int(response.headers.get("Content-Length") or 0)
                require_space(path.parent, size, "root")
                with tqdm(total=size or None, unit="B", unit_scale=True, desc=path.name) as bar:
                    while block := response.read(_BLOCK):
                        with writing(path.parent, size, "root"):
                            file.write(block)
                        digest.update(block)
                        bar.update(len(block))
            if digest.hexdigest() != md5:
                found = digest.hexdigest()
                raise DataError(f"What {url} holds has the MD5 checksum {found} and should have {md5}.")
