"""Tiny runs to be measured: a VQ-VAE-2 on shapes, priors of both levels, a VAE and a classifier, all untrained."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import Adam

from tests.models.test_prior import prior
from tests.models.test_vae import vae as small_vae
from vqgen.data.sources.shapes import Shapes
from vqgen.models.classifier import ImageClassifier
from vqgen.models.vqvae2 import VQVAE2
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder
from vqgen.nn.likelihoods.likelihoods import Gaussian
from vqgen.nn.quantize import EMAQuantizer
from vqgen.nn.resnet import ResNet
from vqgen.optim.schedules import Constant
from vqgen.runs.trained_run import TrainedRun

SIZE, CLASSES = 16, list(Shapes.class_names)


def images(num_test: int = 60) -> Shapes:
    return Shapes(SIZE, (3, SIZE, SIZE), 120, 20, num_test, batch_size=30, seed=0, num_workers=0)


def classifier(shape: tuple[int, int, int] = (3, SIZE, SIZE)) -> ImageClassifier:
    torch.manual_seed(0)
    network = partial(ResNet, hidden_channels=[4, 8])
    return ImageClassifier(shape, len(CLASSES), network, optimizer=partial(Adam, lr=1e-2), schedule=Constant())


def vqvae2() -> VQVAE2:
    torch.manual_seed(0)
    return VQVAE2(
        (3, SIZE, SIZE),
        (2, 4),
        partial(EMAQuantizer, 8, 4),
        Gaussian(0.2),
        16,
        1,
        8,
        optimizer=Adam,
        schedule=Constant(),
    )


def priors(num_classes: int = len(CLASSES)) -> list[Any]:
    return [
        prior(grid=(2, 2), k=8, num_classes=num_classes),
        prior(grid=(4, 4), k=8, upper_grids=[[2, 2]], upper_num_embeddings=[8], num_classes=num_classes),
    ]


def vae() -> Any:
    networks = {
        "encoder": partial(FlatConvEncoder, hidden_channels=[8]),
        "decoder": partial(FlatConvDecoder, hidden_channels=[8]),
    }
    model = small_vae(likelihood=Gaussian(0.2), **networks)
    return type(model)(
        shape=(3, SIZE, SIZE),
        latent_dim=3,
        posterior=type(model.posterior),
        likelihood=Gaussian(0.2),
        **networks,
        optimizer=Adam,
        schedule=Constant(),
    )


def trained(
    model: Any,
    priors: list[Any] | None = None,
    tokenizer: Any = None,
    others: dict[str, TrainedRun] | None = None,
    num_test: int = 60,
    class_names: list[str] = CLASSES,
) -> TrainedRun:
    """A run of this model; `others` are the runs that it can open."""
    for module in [model, *(priors or []), *([tokenizer] if tokenizer else [])]:
        module.eval().requires_grad_(False)
    data = images(num_test)
    places = others or {"classifier": TrainedRun(classifier().eval(), [], None, lambda: data, Path(), CLASSES, 0)}
    about = (Path("runs/x"), class_names, 7)
    return TrainedRun(model, priors or [], tokenizer, lambda: data, *about, open=places.__getitem__)


def tokenizer_run(**arguments: Any) -> TrainedRun:
    return trained(vqvae2(), **arguments)


def prior_run(num_classes: int = len(CLASSES), levels: int = 2, **arguments: Any) -> TrainedRun:
    both = priors(num_classes)[:levels]
    return trained(both[0], both, vqvae2(), **arguments)
