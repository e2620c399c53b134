"""The base of sources whose images come in any size and kind."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy import ndarray
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn

from vqgen.data.error import folder_of, require
from vqgen.data.files.decode import MAX_PIXELS
from vqgen.data.images import Images
from vqgen.errors import DataError, listed

FORMAT = 3  # of prepared folders


class Resized(Images):
    """Images that are read once, to leave out the bad ones and to resize the others.

    Args:
        size: side in pixels that images are resized to, by their middle.
        shape: [1 or 3, size, size], or any height and width that differ: those count, and not the size.
        cache: folder of what is prepared.
        max_unreadable: the largest fraction of images that may be unreadable, 0 to 1.
        window: use only the middle square with this side, in pixels of the file; None for all.
        white: what is white in grey images of 16 bits; "auto" takes that of the bits which the set uses, 4095 of 12.
        Others as in Images.
    """

    def __init__(
        self,
        size: int,
        shape: Sequence[int],
        cache: str,
        max_unreadable: float,
        window: int | None = None,
        white: int | str = 2**16 - 1,
        **images: Any,
    ) -> None:
        super().__init__(shape=shape, **images)
        _, height, width = self.held_shape
        square = height == width
        option, asked = ("size", size) if square else ("shape", list(shape))
        option, asked = ("margin", self.margin) if self.margin > max(shape) else (option, asked)
        require(height * width <= MAX_PIXELS, option, asked, f"images of {height} x {width} pixels are too large")
        wanted = f"files are resized to [{shape[0]}, {size}, {size}] (data.size)"
        require(not square or self.shape[1] == size, "shape", list(shape), wanted)
        require(window is None or window >= 1, "window", window, "expected 1 pixel or more, or null for all")
        require(0 <= max_unreadable <= 1, "max_unreadable", max_unreadable, "expected a fraction, 0 to 1")
        whites = white == "auto" or (isinstance(white, int) and 1 <= white < 2**16)
        require(whites, "white", white, "expected auto, or a number from 1 to 65535")
        self.cache, self.window = folder_of("cache", cache), window
        self.white, self.max_unreadable = white, max_unreadable
        self.left_out: dict[str, int] = {}
        self.notes: list[str] = []

    @abstractmethod
    def unreadable(self) -> list[str]:
        """A line for each image that was left out, with the reason."""

    def setup(self, stage: str | None = None) -> None:
        """Before a training, list what is unreadable in the run's folder."""
        super().setup(stage)
        if stage == "fit" and self.trainer is not None:
            self._write_unreadable(Path(self.trainer.default_root_dir) / "unreadable.txt")

    @rank_zero_only
    def _write_unreadable(self, path: Path) -> None:
        if lines := self.unreadable():
            title = f"Left out of {self.origin}:"
            path.write_text("\n".join([title, *lines, ""]), errors="backslashreplace")

    def tell_unreadable(self, lines: list[str], total: int, where: Path) -> None:
        """Warn of what is left out. Raises DataError where it is more than `max_unreadable` of `total` images.

        Args:
            lines: those of `unreadable`.
            total: number of images, with these.
            where: the folder that has an unreadable.json with all of them.
        """
        message = f"{len(lines)} of {total} image files in {self.root or self.place} are unreadable, such as {lines[0]}"
        if len(lines) > self.max_unreadable * total:
            raise DataError(
                f"{message}. That is more than data.max_unreadable={self.max_unreadable} allows; all are listed in "
                f"unreadable.json below {where}."
            )
        rank_zero_warn(f"{message}; they are left out, and listed in unreadable.txt of the run.")

    def tell_untrained(self, labels: ndarray | None) -> None:
        """Warn of classes that have no training image, given the labels of these."""
        without = set() if labels is None else {*range(len(self.class_names))} - {*labels}
        if without:
            self.notes.append(f"no training image of {listed([self.class_names[i] for i in sorted(without)], 3)}")
            rank_zero_warn(f"There is {self.notes[-1]} in {self.place}: a label of it means nothing to a model.")
