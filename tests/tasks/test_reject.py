"""task=reject: what is kept, at what cost, and mistakes named."""

import pytest
import torch

from tests.tasks import evaluated as runs
from vqgen.errors import UserError
from vqgen.measure.rejection import kept, trade_off
from vqgen.tasks import reject
from vqgen.tasks.reject import Reject


def test_the_best_of_each_class_are_kept():
    scores = torch.tensor([0.1, 0.9, 0.5, 0.3, 0.2, 0.4])
    classes = torch.tensor([0, 0, 0, 0, 1, 1])
    assert kept(scores, classes, 0.5).tolist() == [False, True, True, False, False, True]
    assert kept(scores, classes, 1.0).all()
    assert kept(scores, classes, 0.01).sum() == 2  # one of each class at least


def test_keeping_what_is_near_the_middle_raises_precision_and_lowers_recall():
    torch.manual_seed(0)
    real, generated = torch.randn(1000, 2), 2 * torch.randn(4000, 2)
    points = trade_off(real, generated, -generated.norm(dim=1), torch.zeros(4000).long(), [1.0, 0.3, 0.05])
    assert points.precision[0] < points.precision[1] < points.precision[2]
    assert points.recall[0] > points.recall[1] > points.recall[2]


def test_a_useless_score_changes_neither():
    torch.manual_seed(0)
    real, generated = torch.randn(500, 2), torch.randn(4000, 2)
    points = trade_off(real, generated, torch.rand(4000), torch.zeros(4000).long(), [1.0, 0.1])
    assert points.precision[0] == pytest.approx(points.precision[1], abs=0.05)
    assert points.recall[0] == pytest.approx(points.recall[1], abs=0.05)


@pytest.mark.parametrize("label", [None, 1, runs.CLASSES[2]])
def test_the_kept_part_of_the_samples_is_written(label: int | str | None):
    outcome = Reject("classifier", keep=0.25, num_samples=480, label=label)(runs.prior_run(num_test=100))
    classes = outcome.arrays["rejection/classes"]
    assert abs(len(outcome.arrays["rejection/kept"]) - 120) <= 6  # each class is rounded
    assert label is None or set(classes.tolist()) == {1 if label == 1 else 2}
    record = outcome.records["rejection"]
    assert record["kept"] == [1.0, 0.5, 0.25, 0.2, 0.1, 0.05]
    assert len(record["recall(classifier's directions)"]) == 6
    assert {"rejection"} == set(outcome.pictures)


def test_samples_without_labels_are_taken_for_the_likeliest_class():
    outcome = Reject("classifier", num_samples=480)(runs.prior_run(num_classes=0))
    assert set(outcome.arrays["rejection/classes"].tolist()) <= set(range(len(runs.CLASSES)))
    with pytest.raises(UserError, match="label=1: 'runs/x' was trained without labels"):
        Reject("classifier", num_samples=400, label=1)(runs.prior_run(num_classes=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": None}, "classifier=RUN is needed"),
        ({"classifier": "classifier", "keep": 1.5}, "keep=1.5: the part that is kept is above 0"),
        ({"classifier": "classifier", "num_samples": 100}, "num_samples=100: too few .* take 400"),
        ({"classifier": "classifier", "keep": 0.043, "num_samples": 465}, "take 466"),
        ({"classifier": "classifier", "label": "hexagram"}, "label=hexagram: no such class"),
    ],
)
def test_a_mistake_is_named(options: dict, message: str):
    with pytest.raises(UserError, match=message):
        Reject(**options)(runs.prior_run())


def test_the_number_that_a_mistake_asks_for_is_enough():
    for keep in (0.043, 0.03, 0.01, 0.5):
        with pytest.raises(UserError) as error:
            Reject("classifier", keep=keep, num_samples=1)
        Reject("classifier", keep=keep, num_samples=int(str(error.value).rpartition(" ")[2]))


def test_each_class_is_kept_more_often_than_a_ball_of_recall_has_neighbours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reject, "LEAST_OF_A_CLASS", 100)
    least = 100 * len(runs.CLASSES) * 20
    with pytest.raises(UserError, match=f"num_samples=400: too few .* classes; take {least}, or one class by label"):
        Reject("classifier", num_samples=400)(runs.prior_run())
    Reject("classifier", num_samples=400, label=1)(runs.prior_run(num_test=100))


def test_too_few_real_images_of_a_class_are_named_before_anything_is_drawn():
    message = "compares with 10 test images at least, and 'runs/x' has .* of label=1"
    with pytest.raises(UserError, match=message):
        Reject("classifier", num_samples=400, label=1)(runs.prior_run(num_test=12))


def test_each_point_says_of_how_many_samples_it_is():
    outcome = Reject("classifier", num_samples=400, label=1)(runs.prior_run(num_test=100))
    assert outcome.records["rejection"]["samples_per_point"] == 20
    assert "each point is measured on 20 samples" in outcome.plots["curve"].get_suptitle()


def test_a_run_that_draws_nothing_is_refused():
    with pytest.raises(UserError, match="task=reject needs a VAE or a prior"):
        Reject("classifier")(runs.tokenizer_run())
