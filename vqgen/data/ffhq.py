"""Flickr-Faces-HQ (Karras, Laine, Aila 2019, arXiv:1812.04948): 70,000 portraits."""

from vqgen.data.files import Files
from vqgen.data.tree import Listing, Tree

_NUMBERS = {   # the published validation images from 60000 on are our validation and test images
    "train": range(60_000),
    "val": range(60_000, 65_000),
    "test": range(65_000, 70_000),
}


class FFHQ(Files):
    """Faces, numbered from 00000 to 69999. No labels."""

    layout = (
        "  root/00000/00000.png ... root/69000/69999.png   70,000 images in folders of a thousand, or all in root;\n"
        "  root is images1024x1024 (90 GB), thumbnails128x128 (2 GB), or a copy of them at another size"
    )
    download = (
        "Download with download_ffhq.py of https://github.com/NVlabs/ffhq-dataset: `python download_ffhq.py --images` "
        "(or --thumbs)."
    )

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The splits by the images' numbers."""
        stems = [file.path.rpartition("/")[2].partition(".")[0] for file in tree.files]
        if not all(stem.isdecimal() for stem in stems):
            raise self.missing("there are images whose names are not numbers")
        listings = {
            name: Listing([file for file, stem in zip(tree.files, stems, strict=True) if int(stem) in numbers])
            for name, numbers in _NUMBERS.items()
        }
        if not all(listing.files for listing in listings.values()):
            counts = ", ".join(f"{len(listing.files)} of {name}" for name, listing in listings.items())
            raise self.missing(f"there are images {counts}")
        return listings
