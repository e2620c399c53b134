"""The classifier: probabilities, features, a fresh start, and runs by the command line's own functions."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import Adam

from tests.test_experiment import IMAGES, SMALL, train_in
from vqgen.batch import ImageBatch
from vqgen.models.classifier import ImageClassifier
from vqgen.nn.resnet import ResNet
from vqgen.optim.schedules import Constant
from vqgen.runs.checkpoint import load

NETWORK = ["model.network.hidden_channels=[4,8]"]


def _classifier(num_classes: int = 7, **arguments: float) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(
        (2, 9, 12),
        num_classes,
        partial(ResNet, hidden_channels=[4, 6], num_residual_blocks=2),
        optimizer=partial(Adam, lr=1e-2),
        schedule=Constant(),
        **arguments,
    )


def _batch(n: int = 14) -> ImageBatch:
    return ImageBatch(torch.rand(n, 2, 9, 12) * 2 - 1, {"label": torch.arange(n) % 7}, torch.arange(n))


def test_class_probabilities_sum_to_one_and_come_from_the_features():
    model, x = _classifier().eval(), _batch().x
    assert torch.allclose(model.log_prob(x).exp().sum(1), torch.ones(14))
    assert model.features(x).shape == (14, model.num_features) == (14, 6)
    assert torch.allclose(model.network.head(model.features(x)), model(x))


def test_the_loss_is_the_negative_log_probability_of_the_label():
    model, batch = _classifier().eval(), _batch()
    assert torch.isclose(model.objective(batch).loss, -model.log_prob(batch.x)[range(14), batch.label].mean())


def test_labels_are_smoothed_in_training_only():
    batch = _batch()
    plain, smooth = _classifier(), _classifier(label_smoothing=0.2)
    assert not torch.isclose(plain.train().objective(batch).loss, smooth.train().objective(batch).loss)
    assert torch.isclose(plain.eval().objective(batch).loss, smooth.eval().objective(batch).loss)


def test_in_evaluation_an_image_does_not_depend_on_its_batch():
    model, x = _classifier().eval(), _batch().x
    assert torch.allclose(model(x)[3:4], model(x[3:4]), atol=1e-6)


def test_it_learns_labels_by_heart():
    model, batch = _classifier(), _batch()
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model.objective(batch).loss.backward()
        optimizer.step()
    assert model.objective(batch).figures["accuracy"] == 1.0


def test_an_untrained_one_has_new_weights_by_seed_and_leaves_the_old_one():
    model = _classifier()
    before = model.network.head[1].weight.clone()
    first, again, other = (model.untrained(seed).network.head[1].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(model.network.head[1].weight, before)


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="no labels to learn"):
        _classifier(num_classes=0)


def test_a_run_is_trained_saved_and_loaded_like_every_other(tmp_path: Path):
    run = train_in(tmp_path / "classifier", ["model=classifier", *NETWORK, *IMAGES, *SMALL])
    model = load(run)
    assert isinstance(model, ImageClassifier)
    assert model.log_prob(torch.zeros(1, 3, 16, 16)).shape == (1, 6)
    assert "test/accuracy" in (run / "metrics.csv").read_text()
