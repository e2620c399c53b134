"""Plain PyTorch networks: the mathematics, without trainer, configuration or data."""

from vqgen.nn.critic import PatchCritic
from vqgen.nn.resnet import ResNet

__all__ = [
    "PatchCritic",
    "ResNet",
]
