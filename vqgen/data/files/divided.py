"""The base of sources whose splits are given by names, or divided off."""

from collections.abc import Mapping, Sequence
from typing import Any

from vqgen.batch import SPLITS
from vqgen.data.error import require_fractions
from vqgen.data.files.files import Files
from vqgen.data.files.tree import File, Listing, divide


class DividedFiles(Files):
    """Images in files, whose splits are those that are given, and where only training is, divided by a hash.

    Where one of val and test is given, it stands for the other. One or two images are all three splits.

    Args:
        val_fraction, test_fraction: of the images, for splits that are not given.
        Others as in Files.
    """

    def __init__(self, val_fraction: float, test_fraction: float, **files: Any) -> None:
        super().__init__(**files)
        require_fractions(val_fraction, test_fraction)
        self.fractions = (val_fraction, test_fraction)

    def completed(self, given: Mapping[str, Listing], of: str) -> dict[str, Listing]:
        """The splits that are given, by the names `of` something, and those for which another one stands."""
        self.how = f"by the {of} of {' and '.join(sorted(given, key=SPLITS.index))}"
        for absent, other in (("val", "test"), ("test", "val")):
            if absent not in given:
                self.how += f", {absent} is {other}"
                given = {**given, absent: given[other]}
        return {split: given[split] for split in SPLITS}

    def divided(self, files: Sequence[File]) -> dict[str, list[File]]:
        """The files of each split, by a hash of their names with the folders around them."""
        few = len(files) <= len(self.fractions)
        self.how = "so few that each is in every split" if few else "divided by a hash of their names"
        return dict(zip(SPLITS, divide(files, self.fractions), strict=True))
