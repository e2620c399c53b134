"""Runs go on in other places and on other machines, and a change that cannot be leaves them as they were."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY, TINY_PRIOR, Command
from vqgen.config.overrides import at_home
from vqgen.errors import CheckpointError, ConfigError
from vqgen.runs.allow_list import refuse_foreign, refuse_foreign_writing


@pytest.fixture
def run(vqvae_run: Path, tmp_path: Path) -> Path:
    """A copy of a trained run, in another place."""
    shutil.copytree(vqvae_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("run_dir=~/runs/a", "run_dir=/home/me/runs/a"),
        ('data.root="~/x"', 'data.root="/home/me/x"'),
        ("data_dir=~", "data_dir=/home/me"),
        ("~data.flip", "~data.flip"),
        ("a=b~/c", "a=b~/c"),
        ("a=~b", "a=~b"),
        ("+a=~/b", "+a=/home/me/b"),
    ],
)
def test_a_path_of_ones_home_is_one_after_an_equals_sign_too(typed: str, meant: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home(typed) == meant


def test_a_class_of_ones_own_package_is_built_where_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ownpackage.py").write_text("import os\n\nclass Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine, foreign = {"_target_": "ownpackage.Mine"}, {"_target_": "ownpackage.os.system"}
    with pytest.raises(CheckpointError, match=r"ownpackage is your own package: export VQGEN_PACKAGES=ownpackage$"):
        refuse_foreign(mine, Path("a.ckpt"), "model")
    with pytest.raises(ConfigError, match=r"^model\._target_=ownpackage\.Mine: not a class of .*: export VQGEN"):
        refuse_foreign(mine, None, "model")  # of a new run
    monkeypatch.setenv("VQGEN_PACKAGES", "other,ownpackage")
    refuse_foreign(mine, Path("a.ckpt"), "model")
    with pytest.raises(
        CheckpointError, match=r"refused, as there is no such class: is the folder of other on PYTHONPATH"
    ):
        refuse_foreign({"_target_": "other.Mine"}, Path("a.ckpt"), "model")
    for node, section in ((foreign, "model"), (mine, "facts"), ({"_target_": "os.system"}, "model")):
        with pytest.raises(CheckpointError, match="refused"):
            refuse_foreign(node, Path("a.ckpt"), section)


def test_a_dollar_sign_in_the_name_of_a_folder_leads_out_of_it_only_where_it_is_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "a=b, $elsewhere"
    config = {"logger": {}, "trainer": {}, "callbacks": {"best": {"dirpath": str(folder / "checkpoints")}}}
    monkeypatch.delenv("elsewhere", raising=False)
    refuse_foreign_writing(config, folder / "last.ckpt", folder)
    monkeypatch.setenv("elsewhere", "/../..")
    with pytest.raises(CheckpointError, match="would write callbacks"):
        refuse_foreign_writing(config, folder / "last.ckpt", folder)


@pytest.mark.slow
def test_a_run_with_a_class_of_ones_own_package_is_resumed_and_used(
    run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ownmodels.py").write_text("from vqgen.models.vqvae import VQVAE\n\n\nclass Mine(VQVAE):\n    pass\n")
    for name in ("train.py", "sample.py"):  # a program finds what lies beside it
        shutil.copy(Path(__file__).resolve().parents[1] / name, tmp_path)
    text = (run / "composed.yaml").read_text()
    (run / "composed.yaml").write_text(text.replace("vqgen.models.VQVAE", "ownmodels.Mine"))
    words = (f"resume={run}", "trainer.max_epochs=3")
    assert "export VQGEN_PACKAGES=ownmodels" in command(str(tmp_path / "train.py"), *words).stderr
    monkeypatch.setenv("VQGEN_PACKAGES", "ownmodels")
    for line in (("train.py", *words), ("sample.py", f"run={run}", "task=reconstruct", "checkpoint=last")):
        done = command(str(tmp_path / line[0]), *line[1:])
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_change_that_cannot_be_leaves_the_run_as_it_was(run: Path, command: Command):
    before = [(run / name).read_text() for name in ("composed.yaml", "config.yaml")]
    done = command("train.py", f"resume={run}", "trainer.max_epochs=3", "hardware.accelerator=tpu")
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert [(run / name).read_text() for name in ("composed.yaml", "config.yaml")] == before
    done = command("train.py", f"resume={run}", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_goes_on_with_smaller_batches_on_another_machine_with_its_data_elsewhere(
    run: Path, command: Command, tmp_path: Path
):
    words = ["trainer.max_epochs=3", "data.batch_size=16", "hardware=auto", "hardware.accelerator=cpu"]
    done = command("train.py", f"resume={run}", *words, f"data_dir={tmp_path / 'data'}")
    assert done.returncode == 0, done.stderr
    config = (run / "config.yaml").read_text()
    assert "batch_size: 16" in config
    assert f"data_dir: {tmp_path / 'data'}" in config
    for wrong, told in (("hardware=cpux", "did you mean cpu?"), ("hardware=cpu,gpu", "keeps its own config")):
        done = command("train.py", f"resume={run}", wrong)
        assert done.returncode == 2
        assert told in done.stderr


@pytest.mark.slow
def test_a_run_is_used_where_its_images_are_elsewhere(command: Command, tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for i in range(24):
        noise = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(here / f"{i}.png")
    sizes = ["data=folder", f"data.root={here}", f"data_dir={tmp_path / 'data'}", "data.size=16", "data.batch_size=4"]
    assert command("train.py", *TINY[3:], *sizes, f"run_dir={tmp_path / 'run'}", "logger=none").returncode == 0
    here.rename(there)
    shutil.rmtree(tmp_path / "data")
    use = ("sample.py", "task=reconstruct", f"run={tmp_path / 'run'}")
    assert "Set data.root (data_root, where a trained run is used)" in command(*use).stderr
    done = command(*use, f"data_root={there}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    prior = ("train.py", f"tokenizer={tmp_path / 'run'}", "model=gated_pixelcnn", *TINY_PRIOR, "logger=none")
    assert "(no such folder)" in command(*prior).stderr
    done = command(*prior, f"data_root={there}", f"run_dir={tmp_path / 'prior'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert command("sample.py", "task=reconstruct", f"run={tmp_path / 'prior'}", f"data_root={there}").returncode == 0


def test_the_folder_of_images_goes_with_a_run_that_has_one(command: Command, vqvae_run: Path):
    done = command("train.py", "data_root=x")
    assert done.stderr.strip().startswith("error: data_root=x: only beside tokenizer=RUN")
    done = command("sample.py", "task=reconstruct", f"run={vqvae_run}", "data_root=x")
    assert "data_root=x: the images of" in done.stderr
    assert "come from no folder" in done.stderr
