"""Tasks of trained runs, by the command line and from Python."""

import re
from pathlib import Path

import numpy as np
import pytest

import vqgen
from tests.conftest import ROOT, Command


def test_pictures_go_to_the_runs_logger_and_arrays_to_files(command: Command, vqvae_run: Path, tmp_path: Path):
    before = {path.name.rpartition("-")[2] for path in vqvae_run.glob("wandb/offline-run-*")}
    words = ("task=reconstruct", f"run={vqvae_run}", "num_samples=4", "log=true", "arrays=true", f"out={tmp_path}")
    done = command("sample.py", *words)
    assert done.returncode == 0, done.stderr
    assert len(before) == 1
    runs = list(vqvae_run.glob("wandb/offline-run-*"))
    assert {path.name.rpartition("-")[2] for path in runs} == before, "a new run was made"
    media = list(vqvae_run.glob("wandb/*/files/media/images/reconstruct/*.png"))
    assert {re.sub("_[0-9]+_[0-9a-f]+$", "", path.stem) for path in media} == {
        "reconstructions",
        "reconstructions_labelled",
    }
    arrays = np.load(tmp_path / "reconstructions.npz")
    assert arrays["x"].shape == arrays["x_hat"].shape == (4, 3, 16, 16)
    assert np.load(tmp_path / "codes.npz")["top"].shape == (4, 4, 4)


def test_a_run_without_such_a_logger_says_so(command: Command, prior_run: Path):
    done = command("sample.py", f"run={prior_run}", "log=true")
    assert done.returncode == 2
    assert "was trained without a logger that shows images" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_examples_of_the_documentation_run(
    vqvae_run: Path, prior_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = (ROOT / "docs" / "tasks.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```python")[1:]]
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks:
        exec(block.replace("runs/demo/vqvae", str(vqvae_run)).replace("runs/demo/prior", str(prior_run)), names)
    assert len(blocks) == 2
    assert names["x"].shape == names["x_hat"].shape == (8, 3, 16, 16)
    assert names["samples"].shape == (4, 3, 16, 16)
    assert len(names["codes"]) == 4
    assert {"complete", "compress", "sample"} < set(names["names"])
    for name in ("reconstruct", "interpolate", "morph", "codebook"):
        assert list((tmp_path / "figures" / name).glob("*_labelled.png"))


def test_a_prior_is_opened_with_its_tokenizer(prior_run: Path, vqvae_run: Path):
    run = vqgen.open_trained(prior_run)
    assert run.levels == ["top"]
    assert not run.missing_priors
    assert type(run.autoencoder).__name__ == "VQVAE"
    with pytest.raises(ValueError, match="no run folder"):
        vqgen.open_trained("nowhere")
