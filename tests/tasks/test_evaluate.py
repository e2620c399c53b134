"""task=evaluate: the right figures for each kind of run, and mistakes named."""

import csv
import json
import math
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch

from tests.conftest import composed
from tests.models.test_prior import prior
from tests.tasks import evaluated as runs
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen.batch import Condition
from vqgen.data.images import Split
from vqgen.data.sources import Shapes
from vqgen.drawing import Sampling
from vqgen.errors import UserError
from vqgen.experiment import sample
from vqgen.measure import networks, quality
from vqgen.measure.likelihood import over_labels
from vqgen.measure.metrics.codebook import CodebookUsage
from vqgen.measure.plan import FEW_CLASSES, defaults
from vqgen.measure.sources import generated
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.evaluate import Evaluate

QUALITY = ["fid", "kid", "inception_score", "precision", "recall", "density", "coverage"]


def _figures(task: Evaluate, run: TrainedRun) -> dict[str, float]:
    outcome = task(run)
    record = json.loads(json.dumps(outcome.records["evaluation"]))
    assert all(math.isfinite(value) for value in record["metrics"].values())
    assert all(name in outcome.text for name in record["metrics"])
    return record["metrics"]


def test_a_tokenizer_is_measured_by_its_reconstructions_and_codes():
    run = runs.tokenizer_run()
    found = _figures(Evaluate(classifier="classifier", batch_size=25), run)
    x = run.images().batch("test", torch.arange(60).numpy()).x
    x_hat = run.model.reconstruct(x)
    assert found["mse"] == pytest.approx(float((x - x_hat).square().mean()), rel=1e-5)
    assert found["nmse"] == pytest.approx(found["mse"] / run.images().variance(), rel=1e-5)
    assert found["compression_ratio_fixed"] == pytest.approx(8 * 3 * 16 * 16 / (3 * (2 * 2 + 4 * 4)))
    nll = -run.model.likelihood.log_mass(run.model.decode_output(run.model.encode(x)), x).mean()
    assert found["bits_per_dim_given_codes"] == pytest.approx(float(run.model.likelihood.bits_per_dim(nll, 768)), 1e-5)
    assert {"rfid(classifier)", "rkid(classifier)", "perplexity_top", "codebook_usage_bottom", "ssim"} <= set(found)
    assert "ms_ssim" not in found  # 16 pixels are too few for five scales


def test_the_bits_of_an_image_are_those_of_its_codes_and_of_the_image_given_them():
    run = runs.prior_run()
    found = _figures(Evaluate(metrics=["likelihood"], batch_size=25), run)
    batch = run.images().batch("test", torch.arange(60).numpy())
    codes = run.tokenizer.encode(batch.x)
    nats = [-p.log_prob(codes[p.level], Condition(codes[: p.level], batch.given)).double() for p in run.priors]
    assert found["nats_per_code_top"] == pytest.approx(float(nats[0].mean()))
    assert found["bits_per_code_bottom"] == pytest.approx(float(nats[1].mean()) / math.log(2))
    code_bits = sum(float(n.sum((1, 2)).mean()) for n in nats) / math.log(2)
    assert found["rate_given_label"] == pytest.approx(code_bits / 768)
    assert found["compression_ratio_prior_given_label"] == pytest.approx(8 * 768 / code_bits)
    given = _figures(Evaluate(metrics=["reconstruction"]), run)["bits_per_dim_given_codes"]
    assert found["bits_per_dim_given_label"] == pytest.approx(found["rate_given_label"] + given, rel=1e-5)


def test_figures_over_labels_sum_over_the_labels_and_those_given_the_label_are_named_so():
    run = runs.prior_run()
    task = Evaluate(metrics=["likelihood", "likelihood_over_labels"], batch_size=25)
    found = _figures(task, run)
    batch = run.images().batch("test", torch.arange(60).numpy())
    codes = run.tokenizer.encode(batch.x)
    log_probs = []
    for number in range(len(runs.CLASSES)):
        label = torch.full_like(batch.label, number)
        given = {"label": label}
        parts = [p.log_prob(codes[p.level], Condition(codes[: p.level], given)) for p in run.priors]
        parts = [log_prob.double().sum((1, 2)) for log_prob in parts]
        log_probs.append(parts[0] + parts[1])
    marginal = torch.stack(log_probs).exp().mean(0)  # of each image, all labels being equally likely
    assert found["code_bits"] == pytest.approx(float(-marginal.log2().mean()), rel=1e-5)
    assert found["rate"] == pytest.approx(found["code_bits"] / 768)
    assert found["bits_per_dim"] - found["rate"] == pytest.approx(
        found["bits_per_dim_given_label"] - found["rate_given_label"], rel=1e-4
    )
    assert found["code_bits"] <= found["code_bits_given_label"] + math.log2(len(runs.CLASSES)) + 1e-6
    assert "given the label" in task(run).text


def test_without_labels_the_figures_are_those_of_the_codes_alone():
    run = runs.prior_run(num_classes=0)
    found = _figures(Evaluate(metrics=["likelihood"]), run)
    assert {"code_bits", "rate", "compression_ratio_prior", "bits_per_dim"} <= set(found)
    assert not any("label" in name for name in found)
    with pytest.raises(UserError, match="metrics=likelihood_over_labels: it needs priors that know labels"):
        Evaluate(metrics=["likelihood_over_labels"])(run)


def test_probabilities_over_labels_sum_to_one_over_all_codes():
    priors = [
        prior(grid=(1, 1), k=3, num_classes=4),
        prior(grid=(1, 2), k=3, upper_grids=[[1, 1]], upper_num_embeddings=[3], num_classes=4),
    ]
    every = torch.cartesian_prod(*[torch.arange(3)] * 3)
    codes = [every[:, :1, None], every[:, None, 1:]]
    with torch.no_grad():
        nats = over_labels([one.eval() for one in priors], codes, {})
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_many_classes_are_summed_over_only_when_asked_for():
    few, many = runs.prior_run(num_classes=FEW_CLASSES), runs.prior_run(num_classes=FEW_CLASSES + 1)
    assert "likelihood_over_labels" in defaults(few)
    assert "likelihood_over_labels" not in defaults(many)


def test_samples_of_priors_are_compared_with_real_images_by_named_features():
    outcome = Evaluate(classifier="classifier", batch_size=30)(runs.prior_run(num_test=100))
    found = outcome.records["evaluation"]["metrics"]
    assert {f"{name}(classifier)" for name in QUALITY} <= set(found)
    assert {"samples", "neighbours"} <= set(outcome.pictures)
    assert outcome.metrics["evaluate/test/fid(classifier)"] == found["fid(classifier)"]
    assert {"sampling", "features", "metrics", "likelihood"} <= set(outcome.records["evaluation"]["seconds"])


def test_the_same_seed_gives_the_same_figures():
    task = Evaluate(metrics=["fid", "kid"], classifier="classifier", batch_size=30)
    assert _figures(task, runs.prior_run()) == _figures(task, runs.prior_run())


def test_a_vae_is_measured_by_its_bound_its_reconstructions_and_its_samples():
    found = _figures(Evaluate(classifier="classifier"), runs.trained(runs.vae(), num_test=100))
    assert {"elbo", "bits_per_dim", "mse", "rfid(classifier)", "fid(classifier)"} <= set(found)
    wide = (-found["elbo"] / 768 - math.log(2 / 255)) / math.log(2)  # a density even within each bin
    assert found["bits_per_dim"] == pytest.approx(wide, rel=1e-2)
    assert found["bits_per_dim"] >= 0


def test_one_level_alone_has_a_likelihood_and_no_samples():
    outcome = Evaluate(classifier="classifier")(runs.prior_run(levels=1))
    record = outcome.records["evaluation"]
    assert set(record["metrics"]) == {"nats_per_code_top", "bits_per_code_top", "completion_nats_per_code_top"}
    assert "bottom too: run=" in record["left_out"]["fid"]


def test_what_cannot_be_had_is_left_out_with_the_reason():
    record = Evaluate()(runs.prior_run()).records["evaluation"]
    assert "classifier=RUN is needed" in record["left_out"]["fid"]
    assert {"rate", "rate_given_label"} <= set(record["metrics"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["fdi"]}, r"metrics=fdi: there is no such measure \(did you mean fid\?\)"),
        ({"metrics": ["fid"]}, "metrics=fid: classifier=RUN is needed"),
        ({"metrics": []}, r"metrics=\[\]: nothing is asked for"),
        ({"metrics": ["cas"], "classifier": "classifier", "cas_epochs": 0}, "cas_epochs=0: expected at least 1"),
        (
            {"metrics": ["cas"], "classifier": "classifier", "split": "train"},
            "metrics=cas: .*training images.*split=test",
        ),
        ({"metrics": ["neighbours"], "classifier": "classifier", "split": "train"}, "metrics=neighbours: .*split=test"),
        ({"metrics": ["fid"], "classifier": "classifier", "num_samples": 8}, "needs 9 images or more with 8 features"),
        ({"features": "inceptoin"}, "features=inceptoin: take classifier or inception"),
        ({"features": "inception", "inception_weights": "nowhere.pth"}, "inception"),
        ({"metrics": ["lpips"]}, "lpips needs torchvision"),
        ({"split": "tets"}, "split='tets'"),
        ({"num_samples": 0}, "num_samples=0"),
    ],
)
def test_a_mistake_is_named(options: dict, message: str):
    with pytest.raises(UserError, match=message) as error:
        Evaluate(**options)(runs.prior_run())
    assert "\n" not in str(error.value)


def test_the_training_images_are_not_compared_with_themselves():
    record = Evaluate(classifier="classifier", split="train")(runs.prior_run(num_test=100)).records["evaluation"]
    assert "split=test" in record["left_out"]["neighbours"]
    assert all(math.isfinite(value) for value in record["metrics"].values())


def test_too_few_reconstructions_are_named_as_asked_for():
    with pytest.raises(UserError, match="metrics=rfid: rfid needs 9 images or more with 8 features, and here are 8"):
        Evaluate(metrics=["rfid"], classifier="classifier", num_samples=8)(runs.tokenizer_run())


def test_figures_of_few_images_and_of_changed_samples_say_so():
    metrics, sampling = ["fid", "kid", "precision_recall"], Sampling(temperature=0.5)
    outcome = Evaluate(metrics, classifier="classifier", sampling=sampling)(runs.prior_run())
    few, rough, drawn = outcome.records["evaluation"]["notes"]
    assert few.startswith("60 images are few (fid too high; precision, recall other than of more): compare")
    assert rough.startswith("kid is right on average, and rough with 60 images")
    assert drawn == "samples drawn with temperature=0.5"
    assert all(f"note: {note}" in outcome.text for note in (few, rough, drawn))
    assert outcome.records["evaluation"]["temperature"] == 0.5
    likelihood = Evaluate(metrics=["likelihood"])
    assert not likelihood(runs.prior_run(num_classes=0)).records["evaluation"]["notes"]
    assert likelihood(runs.prior_run()).records["evaluation"]["notes"] == [
        "nats_per_code and bits_per_code are given the label"
    ]


def test_likelihoods_are_those_of_float32_where_samples_are_drawn_in_bfloat16():
    metrics = ["likelihood", "kid"]
    half = Evaluate(metrics, classifier="classifier", sampling=Sampling(precision="bfloat16"))(runs.prior_run())
    full = Evaluate(metrics, classifier="classifier")(runs.prior_run())
    named, found = half.records["evaluation"], full.records["evaluation"]
    for name in ("nats_per_code_top", "nats_per_code_bottom"):
        assert named["metrics"][name] == found["metrics"][name]
    assert (named["precision"], found["precision"]) == ("bfloat16", "float32")
    assert "samples drawn with precision=bfloat16" in named["notes"]


def test_enough_images_need_no_note():
    names = ["fid(classifier)", "rfid(classifier)", "kid(classifier)", "recall(classifier)"]
    assert quality.notes(names, 10_000) == []
    assert len(quality.notes(names, 9_999)) == 1
    assert len(quality.notes(names, 999)) == 2


@pytest.mark.parametrize("run", [runs.tokenizer_run, runs.prior_run, lambda **more: runs.trained(runs.vae(), **more)])
def test_one_of_several_processes_measures_without_waiting_for_the_others(run: Any, monkeypatch: pytest.MonkeyPatch):
    def gathered(*_: Any, **__: Any) -> None:
        raise AssertionError("the other processes are not there to take part")

    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    monkeypatch.setattr("torchmetrics.metric.gather_all_tensors", gathered)
    with pytest.raises(AssertionError, match="not there"):
        CodebookUsage(2).compute()
    Evaluate(classifier="classifier")(run(num_test=100))


def test_a_tokenizer_asked_for_samples_says_what_draws_them():
    with pytest.raises(UserError, match="metrics=fid: it needs a VAE or a prior"):
        Evaluate(metrics=["fid"], classifier="classifier")(runs.tokenizer_run())


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), UnpicklingError("invalid load key"), EOFError()])
def test_a_file_that_holds_no_weights_of_inception_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch):
    def broken(_: str) -> None:
        raise error

    monkeypatch.setattr(networks, "Inception", broken)
    with pytest.raises(UserError, match=r"inception_weights=mine\.pth: .*weights-inception"):
        Evaluate(features="inception", inception_weights="mine.pth")(runs.prior_run())


def _other(shape: tuple[int, int, int] = (3, 16, 16), names: list[str] = runs.CLASSES) -> dict[str, TrainedRun]:
    return {"classifier": runs.trained(runs.classifier(shape), class_names=names)}


def test_cas_after_few_steps_says_so():
    outcome = Evaluate(metrics=["cas"], classifier="classifier", cas_epochs=1)(runs.prior_run())
    (note,) = outcome.records["evaluation"]["notes"]
    assert note == "cas after 1 steps of training says little: raise num_samples or cas_epochs"


def test_several_runs_are_no_classifier():
    def several(path: str) -> TrainedRun:
        raise UserError("run: several runs must be the priors of one tokenizer")

    with pytest.raises(UserError, match=r"^classifier=runs: several runs must be"):
        Evaluate(classifier="runs")(runs.prior_run()._replace(open=several))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (_other((1, 28, 28)), r"images of \[1, 28, 28\], and those of 'runs/x' are \[3, 16, 16\]"),
        (_other(names=["cat", "dog"]), "it does not know"),
        ({"classifier": runs.tokenizer_run()}, "this run is a VQVAE2 and no classifier"),
    ],
    ids=["size", "classes", "model"],
)
def test_a_classifier_that_does_not_fit_is_refused(others: dict[str, TrainedRun], message: str):
    with pytest.raises(UserError, match=message):
        Evaluate(classifier="classifier")(runs.prior_run(others=others))


def test_cas_is_the_accuracy_on_real_images_of_three_classifiers():
    found = _figures(Evaluate(metrics=["cas"], classifier="classifier", cas_epochs=1), runs.prior_run())
    assert set(found) == {f"cas_top{k}({of})" for k in (1, 5) for of in ("samples", "reconstructions", "real")}
    assert all(0 <= value <= 1 for value in found.values())
    with pytest.raises(UserError, match="trained without labels"):
        Evaluate(metrics=["cas"], classifier="classifier")(runs.prior_run(num_classes=0))


def test_samples_are_told_as_their_labels_or_not():
    run = runs.prior_run()
    found = _figures(Evaluate(metrics=["label_accuracy"], classifier="classifier", batch_size=25), run)
    given = {"label": run.images().batch("test", torch.arange(60).numpy()).label}
    samples = torch.cat([*generated(run, 60, given, Sampling(), 25)])
    right = run.open("classifier").model.log_prob(samples).argmax(1) == given["label"]
    assert found["label_accuracy(classifier)"] == pytest.approx(float(right.double().mean()))
    assert {f"label_accuracy_{name}(classifier)" for name in runs.CLASSES} < set(found)
    with pytest.raises(UserError, match=r"label_accuracy needs .* trained without labels"):
        Evaluate(metrics=["label_accuracy"], classifier="classifier")(runs.prior_run(num_classes=0))


class Unlabelled(Shapes):
    class_names = ()

    def load(self, split: str) -> Split:
        return super().load(split)._replace(labels=None)


def test_images_without_labels_leave_out_what_is_of_labels():
    data = Unlabelled(16, (3, 16, 16), 120, 20, 60, batch_size=30, seed=0, num_workers=0)
    run = runs.prior_run()._replace(images=lambda: data)
    outcome = Evaluate(classifier="classifier", num_samples=30)(run)
    assert "these have none" in outcome.records["evaluation"]["left_out"]["label_accuracy"]
    with pytest.raises(UserError, match="cas draws samples with the labels of images, and these have none"):
        Evaluate(metrics=["cas"], classifier="classifier")(run)


def test_figures_are_added_to_those_of_the_run(tmp_path: Path):
    run = train_in(tmp_path / "vqvae", ["model=vqvae", *NETWORK, *IMAGES, *SMALL])
    before = (run / "metrics.csv").read_text().splitlines()
    sample(composed(["task=evaluate", f"run={run}"], name="sample"))
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(before)  # one more, without the header
    assert rows[0]["step"]
    record = json.loads((run / "evaluate" / "evaluation.json").read_text())
    assert float(rows[-1]["evaluate/test/mse"]) == pytest.approx(record["metrics"]["mse"])
