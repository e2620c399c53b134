"""Any folder of images."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.data.error import require
from vqgen.data.files.decode import shown
from vqgen.data.files.files import Files
from vqgen.data.files.layout import LAYOUTS, find_layout, wrapper
from vqgen.data.files.text_table import LABELS, first_of, listed
from vqgen.data.files.tree import File, Listing, Tree, class_folders, divide, inside, labels_of


class Folder(Files):
    """Any tree of images, flat or in class folders, below folders for the splits or not.

    Where every training image lies in one of at least two folders, these are the classes, sorted by name. Splits
    that are not given are divided off by a hash of the paths, at least one image each; where one of val and test is
    given, it stands for the other. One or two images are all three splits. A folder around all of it may be there.

    Args:
        val_fraction, test_fraction: of the images, for splits that are not given.
        layout: what the folders are: "splits" (in them classes or not), "classes", or nothing ("flat"); "auto" tells it
            by their names, and raises DataError where they can be taken in two ways.
        Others as in Files.
    """

    expected = (
        "  root/**/*.jpg                           flat, or\n"
        "  root/CLASS/**/*.jpg                     with classes, or\n"
        "  root/train/**/*.jpg, root/val/**/*.jpg  with splits (train, val, test), with classes in them or not"
    )
    download = "Any JPEG, PNG, WebP, AVIF, JPEG 2000, BMP, GIF, TIFF, PPM or PGM files will do."

    def __init__(self, val_fraction: float, test_fraction: float, layout: str = "auto", **files: Any) -> None:
        super().__init__(**files)
        for option, value in {"val_fraction": val_fraction, "test_fraction": test_fraction}.items():
            require(value >= 0, option, value, "expected a fraction, 0 or more")
        both = f"{val_fraction}, data.test_fraction={test_fraction}"
        require(val_fraction + test_fraction < 1, "val_fraction", both, "together they are less than 1")
        require(layout in LAYOUTS, "layout", layout, f"expected one of {', '.join(LAYOUTS)}")
        self.fractions, self.layout = (val_fraction, test_fraction), layout

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """Splits by folder where folders are named for splits, otherwise by hash."""
        everything = [*tree.files, *(File(path, 0, 0) for path in tree.foreign)]
        found = find_layout([file.path for file in everything], self.layout, self.root)
        starts = found.splits or {"train": found.base}
        self.base = found.base
        start = wrapper([file.path for file in inside(everything, starts["train"])], starts["train"])
        training = inside(tree.files, start)
        if not training:
            raise self.missing(f"there is no image in {start}")
        for split, place in starts.items():
            if (all_files := inside(everything, place)) and not inside(tree.files, place):
                raise self.lost(f"the split {split} in {self.root / place}", all_files)
        self.class_names = [] if self.layout == "flat" else self._classes(training, inside(everything, start), start)
        self._warn_of_strays(training, start)
        given = {"train": Listing(training, labels_of(training, self.class_names, start))}
        for split in starts.keys() - {"train"}:
            files = inside(tree.files, starts[split])
            listing = self._held_out(files, starts[split], start.removeprefix(starts["train"]).split("/"))
            if listing:
                given[split] = listing
            self.left_out[f"of {split} (no class is known)"] = len(files) - len(listing.files if listing else ())
        self.left_out["images beside those folders"] = len(tree.files) - sum(
            len(inside(tree.files, place)) for place in starts.values()
        )
        return self._completed(given) if len(given) > 1 else self._divided(training, start)

    def _classes(self, readable: Sequence[File], all_files: Sequence[File], start: str) -> list[str]:
        names = class_folders(all_files, start)
        if lost := sorted(set(names) - {file.path.removeprefix(start).partition("/")[0] for file in readable}):
            raise self.lost(f"the class {lost[0]} in {self.root / start}", inside(all_files, f"{start}{lost[0]}/"))
        return names

    def _held_out(self, files: list[File], start: str, around: Sequence[str]) -> Listing | None:
        """The files of a split with their labels, None where they have none and those of training have."""
        if not files or not self.class_names:
            return Listing(files) if files else None
        inner = wrapper([file.path for file in files], start, {*around, start.rstrip("/").rpartition("/")[2]} - {""})
        if any("/" in file.path.removeprefix(inner) for file in files):
            return Listing(files, labels_of(files, self.class_names, inner))
        table = first_of(LABELS, [self.root / inner, self.root / start, self.root])
        known = listed(files, table, self.class_names) if table else Listing([])
        return known if known.files else None

    def _warn_of_strays(self, training: Sequence[File], start: str) -> None:
        loose = [file for file in training if "/" not in file.path.removeprefix(start)]
        nested = [file for file in training if "/" in file.path.removeprefix(start)]
        if loose and self.layout != "flat" and class_folders(nested, start):
            self.notes.append(f"no classes, as {loose[0].path} lies in no class folder")
            rank_zero_warn(f"No classes: {shown(loose[0].path)} lies in no class folder of {self.root}.")

    def _completed(self, given: dict[str, Listing]) -> dict[str, Listing]:
        self.how = f"by the folders of {' and '.join(sorted(given, key=['train', 'val', 'test'].index))}"
        for absent, other in (("val", "test"), ("test", "val")):
            if absent not in given:
                self.how += f", {absent} is {other}"
                given = given | {absent: given[other]}
        return {split: given[split] for split in ("train", "val", "test")}

    def _divided(self, files: Sequence[File], start: str) -> dict[str, Listing]:
        few = len(files) <= len(self.fractions)
        self.how = "so few that each is in every split" if few else "divided by a hash of their names"
        parts = zip(("train", "val", "test"), divide(files, self.fractions), strict=True)
        return {name: Listing(part, labels_of(part, self.class_names, start)) for name, part in parts}

