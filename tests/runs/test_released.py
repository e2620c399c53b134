"""The small runs that come with the project."""

from pathlib import Path

import pytest
import torch

from vqgen import load, open_trained
from vqgen.drawing import Sampling
from vqgen.runs.checkpoint import open_run, open_tokenizer
from vqgen.runs.folders import RELEASED, find_runs, output_base, released
from vqgen.tasks.sample import Sample

PRIORS = ["fashion_vqvae_transformer", "fashion_vqvae2_transformer/top", "fashion_vqvae2_transformer/bottom"]


def test_all_together_they_are_small_and_each_has_a_card():
    files = [path for path in RELEASED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8e6
    assert all((RELEASED / name / "README.md").exists() for name in released())


def test_they_name_no_place_of_the_machine_that_trained_them():
    for path in RELEASED.rglob("config.yaml"):
        assert "/tmp" not in path.read_text()
        assert "/root" not in path.read_text()


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_found_by_name_and_knows_its_tokenizer(name: str):
    prior = open_run(name)
    tokenizer, _ = open_tokenizer(prior)
    assert tokenizer.folder.resolve().is_relative_to(RELEASED)


def test_a_label_by_name_is_the_same_as_by_number():
    trained = open_trained("fashion_vqvae_transformer")
    tasks = [Sample(2, label=label, sampling=Sampling(seed=3)) for label in ("sneaker", 7)]
    named, numbered = (task(trained).arrays["samples"] for task in tasks)
    assert (named == numbered).all()
    assert named.shape == (2, 1, 32, 32)


def test_the_classifier_of_shapes_tells_true_ones():
    trained = open_trained("shapes_classifier")
    batch = trained.images().batch("test", torch.arange(200).numpy())
    assert (trained.model.log_prob(batch.x).argmax(1) == batch.label).all()


def test_both_levels_are_found_by_one_name():
    assert len(find_runs("fashion_vqvae2_transformer")) == 2
    assert Sample(num_samples=1)(open_trained("fashion_vqvae2_transformer")).arrays["samples"].shape == (1, 1, 32, 32)


def test_an_image_goes_through_the_released_tokenizer():
    model = load("fashion_vqvae")
    x = torch.full((1, 1, 32, 32), -1.0)
    assert float((model.reconstruct(x) - x).abs().max()) < 0.2  # black stays black


def test_results_of_a_released_run_go_beside_the_user_and_not_into_the_package():
    assert output_base(RELEASED / "fashion_vqvae") == Path("runs", "released", "fashion_vqvae")
    assert output_base(Path("runs", "mine")) == Path("runs", "mine")
