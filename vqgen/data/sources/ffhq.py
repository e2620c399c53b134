"""Flickr-Faces-HQ (Karras, Laine, Aila 2019, arXiv:1812.04948): 70,000 portraits."""

from collections import defaultdict

from vqgen.data.files.files import Files
from vqgen.data.files.tree import Listing, Tree
from vqgen.errors import DataError

_NUMBERS = {  # the published validation images from 60000 on are our validation and test images
    "train": range(60_000),
    "val": range(60_000, 65_000),
    "test": range(65_000, 70_000),
}


class FFHQ(Files):
    """Faces, numbered from 00000 to 69999. No labels."""

    expected = (
        "  root/00000/00000.png ... root/69000/69999.png   70,000 images in folders of a thousand, or all in root;\n"
        "  root is images1024x1024 (90 GB), thumbnails128x128 (2 GB), or a copy of them at another size"
    )
    download = (
        "Download with download_ffhq.py of https://github.com/NVlabs/ffhq-dataset: `python download_ffhq.py --images` "
        "(or --thumbs)."
    )

    how = "by their numbers, as published: from 60000 on val, from 65000 on test"

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The splits by the images' numbers."""
        stems = [file.path.rpartition("/")[2].partition(".")[0] for file in tree.files]
        if not all(stem.isdecimal() for stem in stems):
            raise self.missing("there are images whose names are not numbers")
        self._refuse_copies(tree, stems)
        listings = {
            name: Listing([file for file, stem in zip(tree.files, stems, strict=True) if int(stem) in numbers])
            for name, numbers in _NUMBERS.items()
        }
        if not all(listing.files for listing in listings.values()):
            counts = ", ".join(f"{len(listing.files)} of {name}" for name, listing in listings.items())
            raise self.missing(f"there are images {counts}")
        self.left_out["of other numbers"] = len(tree.files) - sum(len(listing.files) for listing in listings.values())
        return listings

    def _refuse_copies(self, tree: Tree, stems: list[str]) -> None:
        """Raise DataError where a face is there several times: the thumbnails beside the portraits, say."""
        places: dict[int, list[str]] = defaultdict(list)
        for file, stem in zip(tree.files, stems, strict=True):
            places[int(stem)].append(file.path)
        number, found = max(places.items(), key=lambda item: len(item[1]))
        if len(found) > 1:
            folders = sorted({path.rpartition("/")[0].partition("/")[0] for path in found})
            root = f"set data.root={self.root / folders[0]}, or another one's folder"
            raise DataError(
                f"In {self.root} the face {number:05} is there {len(found)} times, as {', '.join(found[:3])}: "
                f"{root if all(folders) and len(folders) > 1 else 'keep one of them there'}."
            )
