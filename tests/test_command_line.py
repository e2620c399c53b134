"""The command line as a user types it: what works, and what a mistake gets."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT, TINY, TINY_PRIOR, Command

WRONG = {
    "model=vqave": "model=vqave: there is no such choice (did you mean vqvae?)",
    "model/posterior=iaf": "model/posterior=iaf: the chosen model has no posterior to choose",
    "dta=shapes": "dta=shapes: there is no option dta (did you mean data?)",
    "model.quantizer.num_embedings=3": "(did you mean model.quantizer.num_embeddings?)",
    "fast_dev_run=true": "Trainer takes it: +trainer.fast_dev_run=VALUE adds it",
    "num_embeddings=3": "(did you mean model.quantizer.num_embeddings?)",
    "model.quantizer.num_embeddings=many": "expected int, got str 'many'",
    "model=gated_pixelcnn": "tokenizer=RUN is needed",
    "data=codes": "this model reads images, not codes",
    "resume=nowhere": "resume=nowhere: no run folder or checkpoint at 'nowhere'",
    "shapes": "cannot read 'shapes': an option is KEY=VALUE",
    "model/quantizer=emma": "(did you mean ema?)",
}


@pytest.fixture(scope="session")
def telltale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module with which Python tells at its end that it imported torch, which takes seconds."""
    folder = tmp_path_factory.mktemp("modules")
    told = "'torch' in sys.modules and print('torch was imported', file=sys.stderr)"
    (folder / "sitecustomize.py").write_text(f"import atexit, sys\natexit.register(lambda: {told})\n")
    return folder


@pytest.mark.parametrize(("word", "message"), WRONG.items())
def test_a_mistake_is_one_line_at_once_and_leaves_nothing(command: Command, word: str, message: str, tmp_path: Path):
    done = command("train.py", word, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("show", [["--cfg", "job"], ["--cfg=job"]])
def test_flags_that_exclude_one_another_are_one_line(command: Command, show: list[str], tmp_path: Path):
    done = command("train.py", "-m", "model=ae,vae", *show, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: --multirun --cfg: give only one of these\n")


def test_a_mistake_in_one_value_of_a_sweep_stops_it_before_it_starts(command: Command, tmp_path: Path):
    done = command("train.py", "-m", "model=vqvae,vqave", cwd=tmp_path)
    assert done.returncode == 2
    assert "model=vqave" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_full_disk_is_one_line(tmp_path: Path):
    words = [*TINY, f"run_dir={tmp_path}/run"]
    small = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    line = [sys.executable, "-c", f"{small}; import train; train.main()", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: File too large: make room")
    assert "Error executing job" not in done.stderr


@pytest.mark.slow
def test_a_size_that_does_not_fit_the_model_is_one_line(command: Command, tmp_path: Path):
    done = command("train.py", *TINY, "data.size=18", cwd=tmp_path)
    assert done.returncode == 2
    assert "multiples of 4, such as 16x16 or 20x20" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["train.py", "sample.py"])
def test_help_and_dry_run_answer_without_torch(command: Command, script: str, telltale: Path):
    for words in (["--help"], ["--cfg", "job"]):
        done = command(script, *words, modules=telltale)
        assert done.returncode == 0, done.stderr
        assert "torch was imported" not in done.stderr
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
    contents = torch.load(prior_run / "checkpoints/best.ckpt", weights_only=True)["vqgen"]
    facts, mark = contents["config"]["facts"], contents["tokenizer"]["fingerprint"][:12]
    assert facts["grid"] == [4, 4]
    assert facts["num_embeddings"] == 8
    assert facts["num_classes"] == len(facts["class_names"]) > 0
    stores = list((command.folder / "data/codes").glob(f"*{mark}*/*/level0.npy"))  # type: ignore[attr-defined]
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


HALF = [*TINY, "trainer.max_epochs=1", "logger=csv", "schedule=constant"]


@pytest.fixture(scope="module")
def half_run(command: Command) -> Path:
    """A run of one epoch."""
    assert command("train.py", *HALF, "run_dir=halves").returncode == 0
    return command.folder / "halves"  # type: ignore[attr-defined]


def _last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(command: Command, half_run: Path, tmp_path: Path):
    assert command("train.py", *HALF, "run_dir=whole", "trainer.max_epochs=2", cwd=tmp_path).returncode == 0
    moved = tmp_path / "elsewhere" / "moved"  # and from another folder than before
    shutil.copytree(half_run, moved)
    done = command("train.py", "resume=elsewhere/moved", "trainer.max_epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole, resumed = _last(tmp_path / "whole"), _last(moved)
    assert whole["global_step"] == resumed["global_step"] > _last(half_run)["global_step"]
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    assert _rows(moved) == _rows(tmp_path / "whole")


@pytest.mark.slow
def test_a_change_beside_resume_reaches_everything_that_refers_to_it(command: Command, half_run: Path, tmp_path: Path):
    shutil.copytree(half_run, tmp_path / "copy")
    words = ["optim.lr=7e-2", "seed=4", "data_changed=true"]  # other shapes: they are functions of the seed
    done = command("train.py", "resume=copy", "trainer.max_epochs=2", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours = _last(tmp_path / "copy")["vqgen"]
    config = ours["config"]
    first = _last(half_run)["vqgen"]["words"]
    assert ours["words"] == [*first, "resume=copy", "trainer.max_epochs=2", *words]  # for who would make it again
    assert config["model"]["optimizer"]["lr"] == 7e-2
    assert config["data"]["seed"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model=vqvae2", "model=vqvae2: a resumed run keeps its own config"),
        ("optim.lrr=1", "optim.lrr=1: the run has no such option (did you mean optim.lr?)"),
        ("run_dir=other", "run_dir=other: a resumed run stays in its folder"),
        ("optim.lr=fast", "optim.lr=fast: expected"),
        ("model.encoder.hidden_channels=32", "the sizes of a model cannot change"),
    ],
)
def test_a_change_that_a_run_cannot_take_is_one_line(command: Command, half_run: Path, word: str, message: str):
    done = command("train.py", f"resume={half_run}", word)
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert message in done.stderr


@pytest.mark.slow
def test_a_strangers_run_is_not_resumed(command: Command, half_run: Path, tmp_path: Path):
    shutil.copytree(half_run, tmp_path / "evil")
    composed = tmp_path / "evil" / "composed.yaml"
    composed.write_text(composed.read_text().replace("vqgen.training.CollapseWarning", "os.makedirs"))
    done = command("train.py", "resume=evil", "callbacks.collapse={_target_: os.makedirs, name: made}", cwd=tmp_path)
    assert done.returncode == 2
    assert "os.makedirs" in done.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_a_prior_keeps_its_tokenizer(command: Command, half_run: Path, tmp_path: Path):
    shutil.copytree(half_run, tmp_path / "tokenizer")
    words = ["model=gated_pixelcnn", "tokenizer=tokenizer", "run_dir=prior", "logger=csv", *TINY_PRIOR]
    assert command("train.py", *words, cwd=tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "tokenizer")
    done = command("train.py", "resume=prior", "trainer.max_epochs=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert command("sample.py", "run=prior", "num_samples=2", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_run_folder_in_use_is_not_written_over(vqvae_run: Path, command: Command):
    done = command("train.py", *TINY, f"run_dir={vqvae_run}")
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
