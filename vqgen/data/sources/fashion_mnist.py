"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747): 70,000 pictures of clothes."""

from typing import ClassVar

from vqgen.data.sources.idx import Idx


class FashionMnist(Idx):
    """Clothes in ten kinds. Debian's package dataset-fashion-mnist holds the files, too."""

    class_names = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
    )
    also_in = ("/usr/share/datasets/fashion-mnist",)
    address = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    md5: ClassVar = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
