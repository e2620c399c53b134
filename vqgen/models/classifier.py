"""An image classifier: its features and probabilities measure what the other models make."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy

from vqgen.batch import ImageBatch
from vqgen.devices import fork_rng
from vqgen.models.base import Model, ModelOptions
from vqgen.optim import Objective, weighted
from vqgen.protocols import Features


class ImageClassifier(Model[ImageBatch]):
    """p(class given image).

    Args:
        shape: (channels, height, width) of the images.
        num_classes: number of classes of the data.
        network: makes the network from `in_channels` and `num_classes`; it has `features` and `num_features`.
        label_smoothing: part of the probability that training spreads over all classes, 0 to 0.2.
        model: optimizer and schedule.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int,
        network: Callable[..., nn.Module],
        label_smoothing: float = 0.0,
        **model: Unpack[ModelOptions],
    ) -> None:
        if num_classes < 2:
            raise ValueError("the images have no labels to learn; a classifier needs data with two classes or more")
        super().__init__(**model)
        self.shape = tuple(shape)
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.network: Any = network(in_channels=shape[0], num_classes=num_classes)

    @property
    def num_features(self) -> int:
        """Length of a feature vector."""
        return self.network.num_features

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits of the classes for images in [-1, 1]."""
        return self.network(x)

    def log_prob(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """log p(class given image) in nats for images in [-1, 1]."""
        return self(x).log_softmax(1)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """What the last layer sees of images in [-1, 1]."""
        return self.network.features(x)

    def describe(self, x: Float[Tensor, "b c h w"]) -> Features:
        """Features and log-probabilities of images in [-1, 1], in one pass."""
        vectors = self.features(x)
        return Features(vectors, self.network.head(vectors).log_softmax(1))

    def untrained(self, seed: int = 0) -> "ImageClassifier":
        """A classifier of the same architecture with new weights, ready for training, for the same seed the same."""
        with fork_rng(self.device):
            torch.manual_seed(seed)
            other = copy.deepcopy(self)
            for module in other.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()  # type: ignore[operator]
        return other.requires_grad_(True).train()

    def objective(self, batch: ImageBatch) -> Objective:
        """Cross-entropy in nats an image, and accuracy of the likeliest class, 0 to 1."""
        label = _labels(batch)
        logits = self(batch.x)
        loss = F.cross_entropy(logits, label, label_smoothing=self.label_smoothing if self.training else 0.0)
        return weighted({"cross_entropy": loss}, {}, figures={"accuracy": (logits.argmax(1) == label).float().mean()})

    def evaluate(self, batch: ImageBatch, stage: str) -> None:
        """Log cross-entropy and accuracy, and with more than five classes the top-5 accuracy."""
        label, logits = _labels(batch), self(batch.x)
        measured = {"loss": F.cross_entropy(logits, label)}
        for name, k in (("accuracy", 1), ("accuracy_top5", 5)):
            if k < self.num_classes:
                measured[name] = multiclass_accuracy(logits, label, self.num_classes, average="micro", top_k=k)
        self.log_means(stage, measured, len(label))


def _labels(batch: ImageBatch) -> Int[Tensor, " b"]:
    assert batch.label is not None, "a classifier is built for data with labels"
    return batch.label
