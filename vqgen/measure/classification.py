"""What a classifier says of samples with labels, and the classification accuracy score (Ravuri & Vinyals 2019, arXiv
1905.10887): what one says of real images that was trained on samples alone."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.functional.classification import multiclass_accuracy
from tqdm import tqdm

from vqgen.batch import ImageBatch, from_bytes
from vqgen.measure.sources import in_batches
from vqgen.protocols import Classifier


class LabelledImages(NamedTuple):
    """Images as bytes, with their classes."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]


class Accuracy(NamedTuple):
    """Part of the images whose class is the likeliest, or among the five likeliest (1 where there are no more)."""

    top1: float
    top5: float


def label_accuracy(
    log_prob: Float[Tensor, "n k"], labels: Int[Tensor, " n"], class_names: Sequence[str] = ()
) -> dict[str, float]:
    """Share of samples whose likeliest class is the label that they were drawn with: of all, and of each class named.

    A class without samples has no figure. Signs that are no letters or digits become hyphens, so that `T-shirt/top` of
    `label_accuracy_T-shirt-top` is no folder to a logger; classes that are then called alike have their numbers added.
    """
    right = (log_prob.argmax(dim=1) == labels).double()
    figures = {"label_accuracy": float(right.mean())}
    names = [re.sub(r"\W+", "-", name) for name in class_names]
    for number, name in enumerate(names):
        if len(of_class := right[labels == number]):
            alone = name if names.count(name) == 1 else f"{name}_{number}"
            figures[f"label_accuracy_{alone}"] = float(of_class.mean())
    return figures


def train(classifier: Classifier, data: LabelledImages, num_steps: int, batch_size: int, title: str) -> Classifier:
    """Train a new classifier with its own optimiser and schedule; the order of the images is the same every time.

    It takes `num_steps` optimiser steps of `batch_size` images, whatever the number of images; `title` is of the bar.
    """
    optimizer = classifier.optimizer(classifier.parameters())
    schedule = LambdaLR(optimizer, lambda step: classifier.schedule(step, num_steps))
    generator = torch.Generator().manual_seed(0)
    for _ in tqdm(range(num_steps), desc=title, unit="step", leave=False):
        index = torch.randint(len(data.images), (batch_size,), generator=generator)
        x = from_bytes(data.images[index].to(classifier.device))
        loss = classifier.objective(ImageBatch(x, {"label": data.labels[index].to(classifier.device)}, index)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return classifier.eval()


@torch.no_grad()
def accuracy(classifier: Classifier, data: LabelledImages, batch_size: int) -> Accuracy:
    """Accuracy of a trained classifier on labelled images."""
    batches = in_batches(data.images, batch_size, classifier.device)
    log_prob: Float[Tensor, "n k"] = torch.cat([classifier.log_prob(x).cpu() for x in batches])
    labels, k = data.labels.cpu(), log_prob.shape[1]
    top1, top5 = (multiclass_accuracy(log_prob, labels, k, average="micro", top_k=min(top, k)) for top in (1, 5))
    return Accuracy(float(top1), float(top5))


def scores(
    classifier: Classifier,
    sets: dict[str, LabelledImages],
    test: LabelledImages,
    num_steps: int,
    batch_size: int,
    seed: int,
) -> dict[str, Accuracy]:
    """The accuracy on real test images of the same classifier trained on each of the sets, from the same weights."""
    results = {}
    for name, data in sets.items():
        with torch.enable_grad():
            student = train(classifier.untrained(seed), data, num_steps, batch_size, f"classifier on {name}")
        results[name] = accuracy(student, test, batch_size)
    return results
