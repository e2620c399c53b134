"""MNIST (LeCun et al. 1998): 70,000 handwritten digits."""

from typing import ClassVar

from vqgen.data.sources.idx import Idx


class Mnist(Idx):
    """Handwritten digits; the label is the digit."""

    class_names = tuple(map(str, range(10)))
    address = "https://ossci-datasets.s3.amazonaws.com/mnist"   # a mirror of http://yann.lecun.com/exdb/mnist
    md5: ClassVar = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
