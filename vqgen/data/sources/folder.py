"""Any folder of images."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from vqgen.data.error import require
from vqgen.data.files.decode import shown
from vqgen.data.files.divided import DividedFiles
from vqgen.data.files.layout import LAYOUTS, Folders, find_layout
from vqgen.data.files.text_table import LABELS, first_of, table_listing
from vqgen.data.files.tree import File, Listing, Subtree, Tree


class Folder(DividedFiles):
    """Any tree of images, flat or in class folders, below folders for the splits or not.

    Where every training image lies in one of at least two folders, these are the classes, sorted by name. Splits
    that are not given are divided off. A folder around all of it may be there.

    Args:
        layout: what the folders are: "splits" (in them classes or not), "classes", or nothing ("flat"); "auto" decides
            by their names, and raises DataError where they can be taken in two ways.
        Others as in DividedFiles.
    """

    expected = (
        "  root/**/*.jpg                           flat, or\n"
        "  root/CLASS/**/*.jpg                     with classes, or\n"
        "  root/train/**/*.jpg, root/val/**/*.jpg  with splits (train, val, test), with classes in them or not"
    )
    download = "Any JPEG, PNG, WebP, AVIF, JPEG 2000, BMP, GIF, TIFF, PPM or PGM files will do."

    def __init__(self, layout: str = "auto", **files: Any) -> None:
        super().__init__(**files)
        require(layout in LAYOUTS, "layout", layout, f"expected one of {', '.join(LAYOUTS)}")
        self.layout = layout

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """Splits by folder where folders are named for splits, otherwise by hash."""
        readable, everything = Subtree(tree.files), Subtree([*tree.files, *(File(path, 0, 0) for path in tree.foreign)])
        found = find_layout([file.path for file in everything.files], self.layout, self.root)
        self.base, starts = found.base, found.splits or {"train": found.base}
        parts = {split: readable.below(start) for split, start in starts.items()}
        training = readable.below(found.start)
        if not training.files:
            raise self.missing(f"there is no image in {found.start}")
        for split, part in parts.items():
            if not part.files and (lost := everything.below(part.start).files):
                raise self.lost(f"the split {split} in {self.root / part.start}", lost)
        self.class_names = [] if self.layout == "flat" else self._classes(training, everything.below(found.start))
        given = {"train": training.labelled(self.class_names)}
        for split in parts.keys() - {"train"}:
            listing = self._held_out(parts[split], found.start.removeprefix(starts["train"]).split("/"))
            if listing.files:
                given[split] = listing
            self.left_out[f"of {split} (no class is known)"] = len(parts[split].files) - len(listing.files)
        taken = sum(len(part.files) for part in parts.values())
        self.left_out["images beside those folders"] = len(tree.files) - taken
        if len(given) > 1:
            return self.completed(given, of="folders")
        divided = self.divided(training.files).items()
        return {split: training._replace(files=files).labelled(self.class_names) for split, files in divided}

    def _classes(self, readable: Subtree, everything: Subtree) -> list[str]:
        """The class folders of training. Raises DataError where nothing in one of them can be read."""
        names, folders = everything.class_folders(), {readable.folder(file) for file in readable.files}
        if lost := sorted({*names} - folders):
            files = everything.below(f"{everything.start}{lost[0]}/").files
            raise self.lost(f"the class {lost[0]} in {self.root / everything.start}", files)
        loose = [file for file in readable.files if not readable.folder(file)]
        nested = [file for file in readable.files if readable.folder(file)]
        if loose and readable._replace(files=nested).class_folders():
            self.notes.append(f"no classes, as {loose[0].path} lies in no class folder")
            rank_zero_warn(f"No classes: {shown(loose[0].path)} lies in no class folder of {self.root}.")
        return names

    def _held_out(self, part: Subtree, around: Sequence[str]) -> Listing:
        """The files of a split with their labels; none where they have no labels and those of training have."""
        if not part.files or not self.class_names:
            return Listing(part.files)
        names = {*around, part.start.rstrip("/").rpartition("/")[2]} - {""}
        inner = part.below(Folders(file.path for file in part.files).wrapped(part.start, names))
        if any(map(inner.folder, inner.files)):
            return inner.labelled(self.class_names)
        table = first_of(LABELS, [self.root / inner.start, self.root / part.start, self.root])
        return table_listing(part.files, table, self.class_names) if table else Listing([])
