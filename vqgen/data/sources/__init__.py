"""LightningDataModules of images: one file for each source."""

from vqgen.data.sources.celeba import CelebA
from vqgen.data.sources.cifar10 import CIFAR10
from vqgen.data.sources.ffhq import FFHQ
from vqgen.data.sources.folder import Folder
from vqgen.data.sources.huggingface import HuggingFace
from vqgen.data.sources.idx import FashionMnist, Mnist
from vqgen.data.sources.imagenet import ImageNet
from vqgen.data.sources.scenes import Scenes
from vqgen.data.sources.shapes import Shapes
from vqgen.data.sources.shards import Shards

__all__ = [
    "CIFAR10",
    "FFHQ",
    "CelebA",
    "FashionMnist",
    "Folder",
    "HuggingFace",
    "ImageNet",
    "Mnist",
    "Scenes",
    "Shapes",
    "Shards",
]
