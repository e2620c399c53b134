"""The command line as a user types it: what works, and what a mistake gets."""

import csv
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY, Command

WRONG = {
    "model=vqave": "model=vqave: there is no such choice (did you mean vqvae?)",
    "dta=shapes": "dta=shapes: there is no option dta (did you mean data?)",
    "model.quantizer.num_embedings=3": "(did you mean model.quantizer.num_embeddings?)",
    "num_embeddings=3": "(did you mean model.quantizer.num_embeddings?)",
    "model.quantizer.num_embeddings=many": "expected int, got str 'many'",
    "model=gated_pixelcnn": "tokenizer=RUN is needed",
    "data=codes": "this model reads images, not codes",
    "resume=nowhere": "resume=nowhere: no run folder or checkpoint at 'nowhere'",
    "shapes": "cannot read 'shapes': an option is KEY=VALUE",
    "model/quantizer=emma": "(did you mean ema?)",
}


@pytest.mark.parametrize(("word", "message"), WRONG.items())
def test_a_mistake_is_one_line_at_once_and_leaves_nothing(command: Command, word: str, message: str, tmp_path: Path):
    start = time.monotonic()
    done = command("train.py", word, cwd=tmp_path)
    assert time.monotonic() - start < 10  # 3 seconds on an idle machine
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_one_value_of_a_sweep_stops_it_before_it_starts(command: Command, tmp_path: Path):
    done = command("train.py", "-m", "model=vqvae,vqave", cwd=tmp_path)
    assert done.returncode == 2
    assert "model=vqave" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_size_that_does_not_fit_the_model_is_one_line(command: Command, tmp_path: Path):
    done = command("train.py", *TINY, "data.size=18", cwd=tmp_path)
    assert done.returncode == 2
    assert "multiples of 4, such as 16x16 or 20x20" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_help_and_dry_run_answer_without_torch(command: Command, script: str):
    for words in (["--help"], ["--cfg", "job"]):
        done = command(script, *words)
        assert done.returncode == 0, done.stderr
    assert "seed" in done.stdout


@pytest.mark.slow
def test_a_run_folder_holds_what_the_contract_says(vqvae_run: Path):
    names = {str(p.relative_to(vqvae_run)) for p in vqvae_run.rglob("*")}
    assert {"config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "wandb"} <= names
    assert any(name.startswith("images/reconstructions") for name in names)
    assert list((vqvae_run / "wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.slow
def test_metrics_are_logged_under_train_val_and_test(vqvae_run: Path):
    with (vqvae_run / "metrics.csv").open() as lines:
        header = csv.DictReader(lines).fieldnames or []
    for key in ("val/loss", "val/mse", "val/psnr", "val/perplexity", "val/codebook_usage", "test/recon_loss"):
        assert key in header


@pytest.mark.slow
def test_a_prior_takes_all_it_knows_from_its_tokenizer(prior_run: Path, vqvae_run: Path, command: Command):
    facts = torch.load(prior_run / "checkpoints/best.ckpt", weights_only=True)["vqgen"]["config"]["facts"]
    assert facts["grid"] == [4, 4]
    assert facts["num_embeddings"] == 8
    assert facts["num_classes"] == len(facts["class_names"]) > 0
    stores = list((command.folder / "data/codes").rglob("level0.npy"))  # type: ignore[attr-defined]
    assert len(stores) == 3


@pytest.mark.slow
def test_sampling_writes_pictures_and_says_where(prior_run: Path, command: Command):
    done = command("sample.py", f"run={prior_run}", "num_samples=5", "label=2", "temperature=0.9", "top_p=0.95")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.split():
        assert Path(line).stat().st_size > 100
    assert "samples.png" in done.stdout


@pytest.mark.slow
def test_sampling_takes_class_names_and_refuses_others(prior_run: Path, command: Command):
    assert command("sample.py", f"run={prior_run}", "num_samples=1", "label=star").returncode == 0
    done = command("sample.py", f"run={prior_run}", "label=stra")
    assert done.returncode == 2
    assert "label=stra: no such class (did you mean star?)" in done.stderr


@pytest.mark.slow
def test_a_task_that_does_not_fit_says_what_does(vqvae_run: Path, command: Command):
    done = command("sample.py", f"run={vqvae_run}")
    assert done.returncode == 2
    assert "task=sample needs a VAE or a prior" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_reconstructing_a_run(vqvae_run: Path, command: Command):
    done = command("sample.py", "task=reconstruct", f"run={vqvae_run}", "num_samples=4")
    assert done.returncode == 0, done.stderr
    assert "reconstructions.png" in done.stdout


@pytest.mark.slow
def test_a_prior_for_a_level_that_is_not_there(vqvae_run: Path, command: Command):
    done = command("train.py", "model=gated_pixelcnn", f"tokenizer={vqvae_run}", "level=bottom")
    assert done.returncode == 2
    assert "level=bottom: this tokenizer has 1 level(s)" in done.stderr


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(command: Command, vqvae_run: Path):
    first = [*TINY, "trainer.max_epochs=1", "logger=csv", "schedule=constant"]
    assert command("train.py", *first, "run_dir=whole", "trainer.max_epochs=2").returncode == 0
    assert command("train.py", *first, "run_dir=halves").returncode == 0
    done = command("train.py", "resume=halves", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    folder: Path = command.folder  # type: ignore[attr-defined]
    whole, halves = (
        torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True) for name in ("whole", "halves")
    )
    assert whole["global_step"] == halves["global_step"]
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, halves["state_dict"][name]), name
    rows = (folder / "halves" / "metrics.csv").read_text().count("\n")
    assert rows >= (folder / "whole" / "metrics.csv").read_text().count("\n")


@pytest.mark.slow
def test_a_run_folder_in_use_is_not_written_over(vqvae_run: Path, command: Command):
    done = command("train.py", *TINY, f"run_dir={vqvae_run}")
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
