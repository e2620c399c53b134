"""ImageNet, ILSVRC 2012 (Russakovsky et al. 2015, arXiv:1409.0575): 1.28 million photographs in 1,000 classes."""

from vqgen.data.error import DataError
from vqgen.data.files import Files
from vqgen.data.tree import File, Listing, Tree, class_folders, labels_of
from vqgen.data.wordnet import class_names


class ImageNet(Files):
    """Class folders named by WordNet ids; the published validation images are val and test (those have no labels).

    Labels follow the sorted ids; where a table of their names lies in root or root/train, the classes go by those.
    """

    layout = (
        "  root/train/n01440764/n01440764_10026.JPEG     1,281,167 images in 1,000 folders\n"
        "  root/val/n01440764/ILSVRC2012_val_00000293.JPEG   50,000 images, in the same folders"
    )
    download = (
        "Download ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org (with an account), "
        "unpack each class into its folder, and move the validation images into class folders."
    )

    def list_files(self, tree: Tree) -> dict[str, Listing]:
        """The splits by their folders."""
        train = [file for file in tree.files if file.path.startswith("train/")]
        val = [file for file in tree.files if file.path.startswith("val/")]
        ids = class_folders(train, depth=1)
        if not ids or not val:
            raise self.missing("there are no class folders in train" if val else "there is no image in val")
        self.class_names = class_names(ids, [self.root, self.root / "train"])
        return {name: self._listing(files, ids) for name, files in [("train", train), ("val", val), ("test", val)]}

    def _listing(self, files: list[File], ids: list[str]) -> Listing:
        try:
            return Listing(files, labels_of(files, ids, depth=1))
        except DataError as error:
            raise self.missing(f"the folders of val are not those of train ({error})") from error
