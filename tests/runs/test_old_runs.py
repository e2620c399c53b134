"""Runs of every kind of version 0.1, whose classes were named by their files, open, compute as they did and go on."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import Command
from vqgen import load, open_trained
from vqgen.batch import Condition
from vqgen.config.arguments import signature_at
from vqgen.errors import ConfigError
from vqgen.runs.checkpoint import open_run, open_tokenizer
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.old_names import current_name, with_current_names
from vqgen.tasks.sample import Sample

OLD = Path(__file__).parent / "of_0_1"
EXPECTED = torch.load(OLD / "expected.pt", weights_only=True)
IMAGE_MODELS = ["ae", "vae", "vae_iaf", "vqvae", "vqvae_conv", "vqvae2"]
PRIORS = ["gated", "pixelcnn", "pixelsnail", "top", "bottom"]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def of_0_1(name: str) -> torch.nn.Module:
    return load(OLD / name, "last")


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_an_autoencoder_reconstructs_and_encodes_as_before(name: str):
    model = of_0_1(name)
    x = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16).sin()
    torch.manual_seed(0)
    torch.testing.assert_close(model.reconstruct(x), EXPECTED[name], **CLOSE)
    if f"{name}_codes" in EXPECTED:
        pairs = zip(model.encode(x), EXPECTED[f"{name}_codes"], strict=True)
        assert all((found == before).float().mean() > 0.8 for found, before in pairs)  # but for near ties


def test_a_classifier_has_the_logits_of_before():
    x = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16).sin()
    torch.testing.assert_close(of_0_1("classifier")(x), EXPECTED["classifier"], **CLOSE)


def test_priors_have_the_logits_of_before():
    generator = torch.Generator().manual_seed(1)
    for name in PRIORS:  # in the order in which the numbers were drawn
        model = of_0_1(name)
        upper = [torch.randint(0, 8, (2, 2, 2), generator=generator)] if name == "bottom" else []
        codes = torch.randint(0, model.num_embeddings, (2, *model.grid), generator=generator)
        condition = Condition(upper, {"label": torch.tensor([0, 1])})
        torch.testing.assert_close(model(codes, condition), EXPECTED[name], **CLOSE)


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_knows_its_tokenizer_by_the_fingerprint_of_before(name: str):
    run = open_run(OLD / name, "last")
    _, tokenizer = open_tokenizer(run)
    assert fingerprint(tokenizer) != run.tokenizer["fingerprint"]


def test_priors_of_two_levels_are_drawn_together():
    trained = open_trained([str(OLD / "top"), str(OLD / "bottom")], "last")
    assert Sample(num_samples=2)(trained).arrays["samples"].shape == (2, 3, 16, 16)


def test_an_old_prior_and_one_of_today_know_the_same_tokenizer(tmp_path: Path):
    shutil.copytree(OLD / "top", tmp_path / "top")
    file = tmp_path / "top" / "checkpoints" / "last.ckpt"
    contents = torch.load(file, weights_only=True)
    _, tokenizer = open_tokenizer(open_run(OLD / "top", "last"))
    contents["vqgen"]["tokenizer"]["fingerprint"] = fingerprint(tokenizer)
    torch.save(contents, file)
    assert len(open_trained([str(tmp_path / "top"), str(OLD / "bottom")], "last").priors) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMAGE_MODELS, "classifier", *PRIORS])
def test_a_run_goes_on(name: str, command: Command, tmp_path: Path):
    shutil.copytree(OLD / name, tmp_path / name)
    shutil.copy(tmp_path / name / "checkpoints" / "last.ckpt", tmp_path / name / "checkpoints" / "best.ckpt")
    done = command("train.py", f"resume={tmp_path / name}", "trainer.max_steps=6", "trainer.max_epochs=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert open_run(tmp_path / name, "last").contents["global_step"] == 6


def test_every_old_name_is_one_of_today():
    names = [
        line.split("_target_: ")[1]
        for file in OLD.glob("*/composed.yaml")
        for line in file.read_text().splitlines()
        if "_target_: vqgen." in line
    ]
    assert len(set(names)) > 20
    for name in set(names):
        assert signature_at("model", current_name(name))


def test_an_old_name_in_a_config_of_ones_own_is_told_with_that_of_today():
    with pytest.raises(ConfigError, match=r"no such class; it is vqgen\.training\.Samples now"):
        signature_at("callbacks.mine", "vqgen.callbacks.Samples")


def test_names_are_exchanged_however_deep_they_stand():
    node = {"a": [{"_target_": "vqgen.models.vqvae.VQVAE", "b": ({"_target_": "torch.optim.Adam"},)}]}
    now = {"a": [{"_target_": "vqgen.models.VQVAE", "b": [{"_target_": "torch.optim.Adam"}]}]}
    assert with_current_names(node) == now
