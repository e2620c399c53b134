"""A stranger's run is not gone on with where it would run, or write, what is not ours."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from tests import wandb_file
from tests.conftest import Command
from vqgen.errors import CheckpointError
from vqgen.runs.checkpoint import load
from vqgen.runs.checkpoint_io import WholeCheckpointIO
from vqgen.training.record import moved

HERE = "touch {}"


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def _system(command: str) -> dict[str, Any]:
    return {"_target_": "os.system", "command": command}


EVIL = {
    "callback": lambda c, cmd: c["callbacks"].update(evil=_system(cmd)),
    "nested list": lambda c, cmd: c["callbacks"]["best"].update(mode=[[{"a": [_system(cmd)]}]]),
    "partial": lambda c, cmd: c["optim"].update(_system(cmd), _partial_=True),
    "logger": lambda c, cmd: c["logger"].update(evil=_system(cmd)),
    "data": lambda c, cmd: c["data"].update(seed=_system(cmd)),
    "trainer": lambda c, cmd: c["trainer"].update(profiler=_system(cmd)),
    "model": lambda c, cmd: c["model"].update(likelihood=_system(cmd)),
    "through ours": lambda c, cmd: c["callbacks"].update(
        evil={**_system(cmd), "_target_": "vqgen.runs.version.subprocess.run"}
    ),
    "Lightning's launcher": lambda c, cmd: c["callbacks"].update(
        evil={"_target_": "pytorch_lightning.cli.LightningCLI"}
    ),
    "interpolation": lambda c, cmd: c["trainer"].update(max_time="${oc.env:HOME}"),
    "a file by a class of another section": lambda c, cmd: c["model"].update(
        likelihood={"_target_": "vqgen.data.files.array_file.ArrayFile", "path": "x", "dtype": "uint8", "shape": [1]}
    ),
    "a class of data that is no data": lambda c, cmd: c["data"].update(
        _target_="vqgen.data.files.array_file.ArrayFile"
    ),
    "a logger that sends": lambda c, cmd: c["logger"].update(
        evil={"_target_": "pytorch_lightning.loggers.MLFlowLogger", "tracking_uri": "http://localhost:9"}
    ),
    "a resolver by a computed name": lambda c, cmd: c.update(project="oc", data_dir="${${project}.env:HOME}"),
    "args": lambda c, cmd: c["callbacks"]["best"].update(_args_=[_system(cmd)]),
}
OUTSIDE = {
    "checkpoints": lambda c, p: c["callbacks"]["best"].update(dirpath=str(p)),
    "last": lambda c, p: c["callbacks"]["last"].update(dirpath=str(p)),
    "csv": lambda c, p: c["logger"]["csv"].update(save_dir=str(p)),
    "file name": lambda c, p: c["callbacks"]["best"].update(filename=f"../../../{p.name}/best"),
    "absolute file name": lambda c, p: c["callbacks"]["best"].update(filename=str(p / "best")),
    "a file of a callback": lambda c, p: c["callbacks"].update(
        spikes={"_target_": "pytorch_lightning.callbacks.SpikeDetection", "exclude_batches_path": p.name}
    ),
    "home": lambda c, p: c["logger"]["csv"].update(save_dir="~/vqgen_was_here"),
    "a variable": lambda c, p: c["logger"].update(
        board={"_target_": "vqgen.logging.TensorBoard", "save_dir": f"$HOME/../{p}"}
    ),
    "an address": lambda c, p: c["callbacks"]["best"].update(dirpath=f"file://{p}"),
    "profiler": lambda c, p: c["trainer"].update(
        profiler={"_target_": "pytorch_lightning.profilers.SimpleProfiler", "dirpath": str(p)}
    ),
}


@pytest.fixture
def stranger(vqvae_run: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be made evil."""
    return Path(shutil.copytree(vqvae_run, tmp_path / "run"))


def _poison(run: Path, change: Callable[..., Any], value: Any) -> None:
    """Change the config that the run would be resumed from."""
    config: Any = OmegaConf.to_container(OmegaConf.load(run / "composed.yaml"))
    change(config, value)
    OmegaConf.save(config, run / "composed.yaml")


def _save(run: Path, contents: dict[str, Any]) -> None:
    for name in ("last", "previous", "best"):
        torch.save(contents, run / "checkpoints" / f"{name}.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("where", EVIL)
def test_a_foreign_target_anywhere_in_a_config_is_refused(where: str, stranger: Path, command: Command, tmp_path: Path):
    _poison(stranger, EVIL[where], HERE.format(tmp_path / "was_here"))
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "refused" in last or "there is no such class" in last or "no such option" in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "was_here").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", OUTSIDE)
def test_a_config_never_writes_outside_of_its_run_folder(where: str, stranger: Path, command: Command, tmp_path: Path):
    _poison(stranger, OUTSIDE[where], tmp_path / "outside")
    done = command("train.py", f"resume={stranger}", "trainer.max_epochs=3")
    assert done.returncode == 2
    assert "refused" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "outside").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["train.py", "resume={}"],
        ["train.py", "model=pixelcnn", "tokenizer={}"],
        ["sample.py", "task=reconstruct", "run={}"],
    ],
)
def test_a_pickled_command_is_not_run_by_any_program(
    words: list[str], stranger: Path, command: Command, tmp_path: Path
):
    payload = Payload(HERE.format(tmp_path / "was_here"))
    _save(stranger, {"vqgen": {"config": {}, "nested": [({"x": payload},)]}, "state_dict": {}})
    done = command(*[word.format(stranger) for word in words])
    assert done.returncode == 2
    assert "holds more than plain data (posix.system) and was not loaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "was_here").exists()


@pytest.mark.slow
def test_a_foreign_target_in_the_config_of_a_run_without_checkpoint_is_refused(stranger: Path, command: Command):
    shutil.rmtree(stranger / "checkpoints")
    _poison(stranger, lambda c, target: c["callbacks"]["learning_rate"].update(_target_=target), "subprocess.Popen")
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    assert "subprocess.Popen" in done.stderr
    assert "refused" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("key", ["num_classes", "class_names"])
def test_facts_of_a_strangers_tokenizer_name_nothing_to_build(
    key: str, stranger: Path, command: Command, tmp_path: Path
):
    file = stranger / "checkpoints" / "best.ckpt"
    contents = torch.load(file, weights_only=True)
    evil = {"_target_": "os.makedirs", "name": str(tmp_path / "was_here")}
    contents["vqgen"]["config"]["facts"][key] = evil if key == "num_classes" else ["a", [evil]]
    torch.save(contents, file)
    done = command("train.py", "model=gated_pixelcnn", f"tokenizer={file}")
    assert done.returncode == 2
    assert "refused" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "was_here").exists()


LINKS = {
    "checkpoints": lambda run, outside: (shutil.move(run / "checkpoints", outside), outside)[1],
    "metrics.csv": lambda run, outside: ((run / "metrics.csv").unlink(), outside / "profile")[1],
    "wandb/rows.jsonl": lambda run, outside: ((run / "wandb" / "rows.jsonl").unlink(), outside / "profile")[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_a_strangers_run_is_not_followed(name: str, stranger: Path, command: Command, tmp_path: Path):
    outside = tmp_path / "outside"
    if name != "checkpoints":
        outside.mkdir()
        (outside / "profile").write_text("mine\n")
    (stranger / name).symlink_to(LINKS[name](stranger, outside))
    done = command("train.py", f"resume={stranger}", "trainer.max_epochs=3")
    assert done.returncode == 2
    assert "is a link that leads out of" in done.stderr.splitlines()[-1]
    assert name == "checkpoints" or (outside / "profile").read_text() == "mine\n"


@pytest.mark.slow
@pytest.mark.parametrize("link", ["evaluate/evaluation.json", "metrics.csv"])
def test_a_task_writes_through_no_link_of_a_strangers_run(link: str, stranger: Path, command: Command, tmp_path: Path):
    (tmp_path / "profile").write_text("mine\n")
    (stranger / link).parent.mkdir(exist_ok=True)
    (stranger / link).unlink(missing_ok=True)
    (stranger / link).symlink_to(tmp_path / "profile")
    done = command("sample.py", "task=evaluate", "metrics=[reconstruction]", f"run={stranger}")
    refused = link == "metrics.csv"  # the results go into a new folder
    assert (done.returncode == 2, "is a link that leads out of" in done.stderr) == (refused, refused)
    assert (tmp_path / "profile").read_text() == "mine\n"


def _point_data_at(run: Path, root: Path, cache: Path) -> None:
    """Make a run's data a folder of files, prepared in `cache`, in its config and its checkpoints."""
    data = {
        "_target_": "vqgen.data.sources.Folder",
        "root": str(root),
        "size": 16,
        "shape": [3, 16, 16],
        "batch_size": 8,
        "seed": 0,
        "num_workers": 0,
        "cache": str(cache),
        "max_unreadable": 0.0,
        "window": None,
        "prepare_up_to": 1,
        "flip": False,
        "margin": 0,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
    }
    _poison(run, lambda c, _: c.update(data=data), None)
    for file in (run / "checkpoints").glob("*.ckpt"):
        contents = torch.load(file, weights_only=True)
        contents["vqgen"]["config"]["data"] = data
        torch.save(contents, file)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["train.py", "resume={}", "trainer.max_epochs=3"],
        ["sample.py", "task=reconstruct", "run={}"],
        ["train.py", "model=pixelcnn", "tokenizer={}"],
    ],
)
def test_a_strangers_data_are_prepared_here_and_nowhere_else(
    words: list[str], stranger: Path, command: Command, tmp_path: Path
):
    (tmp_path / "images").mkdir()
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "private").mkdir()
    _point_data_at(stranger, tmp_path / "images", tmp_path / "private")
    here = tmp_path / "here"
    here.mkdir()
    done = command(*[word.format(stranger) for word in words], cwd=here)
    assert done.returncode == 2
    assert "outside of" in done.stderr.splitlines()[-1]
    assert f"touch {tmp_path / 'private' / 'CACHEDIR.TAG'}" in done.stderr
    assert not list((tmp_path / "private").iterdir())
    (tmp_path / "private" / "CACHEDIR.TAG").touch()  # the user says that caches belong there
    if words[0] == "sample.py":
        done = command(*[word.format(stranger) for word in words], "data_changed=true", cwd=here)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [{}]", "a: [", "- 1", "\x00\x01"])
def test_a_config_that_is_not_plain_yaml_is_told_in_one_line(
    text: str, stranger: Path, command: Command, tmp_path: Path
):
    (stranger / "composed.yaml").write_text(text.replace("{}", f"touch {tmp_path / 'was_here'}"))
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert "cannot be read as the config of a run" in done.stderr
    assert not (tmp_path / "was_here").exists()


@pytest.mark.slow
def test_ones_own_run_may_write_elsewhere(stranger: Path, command: Command, tmp_path: Path):
    _poison(stranger, OUTSIDE["profiler"], tmp_path / "outside")
    done = command("train.py", f"resume={stranger}", "trainer.max_epochs=3")
    assert done.stderr.strip().endswith("if the run is your own: trust=true")
    done = command("train.py", f"resume={stranger}", "trainer.max_epochs=3", "trust=true")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_stranger_cannot_say_that_the_run_is_ones_own(stranger: Path, command: Command, tmp_path: Path):
    _poison(stranger, OUTSIDE["checkpoints"], tmp_path / "outside")
    _poison(stranger, lambda c, _: c.update(trust=True), None)
    done = command("train.py", f"resume={stranger}", "trainer.max_epochs=3")
    assert done.returncode == 2
    assert done.stderr.strip().endswith("if the run is your own: trust=true")
    assert not (tmp_path / "outside").exists()


@pytest.mark.slow
def test_a_folder_that_the_user_names_may_be_written_to(stranger: Path, command: Command, tmp_path: Path):
    (tmp_path / "images").mkdir()
    for i in range(30):
        Image.fromarray(np.full((16, 16, 3), i, dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
    _point_data_at(stranger, tmp_path / "images", tmp_path / "gone")
    words = ["trainer.max_epochs=3", "data_changed=true", f"data.cache={tmp_path / 'new'}"]
    done = command("train.py", f"resume={stranger}", *words)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "new").iterdir())
    assert not (tmp_path / "gone").exists()


@pytest.mark.slow
def test_a_link_deep_in_a_strangers_run_is_not_followed_and_wandbs_own_is_none_of_these(
    stranger: Path, command: Command, tmp_path: Path
):
    log = next(stranger.glob("wandb/*run-*")) / "logs" / "debug-core.log"  # a link of W&B to its cache
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    log.symlink_to(tmp_path / "cache")
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 0, done.stderr
    deep = stranger / "evaluation" / "epoch_0003" / "evaluation.json"
    deep.parent.mkdir(parents=True)
    deep.symlink_to(tmp_path / "profile")
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    assert f"'{deep}' is a link that leads out of" in done.stderr


@pytest.mark.long
@pytest.mark.slow
def test_wandb_is_sent_no_picture_from_outside_of_a_strangers_run(stranger: Path, command: Command, tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "private.png")
    rows = stranger / "wandb" / "rows.jsonl"
    evil = {"step": 0, "images": {"evil": [str(tmp_path / "private.png"), "../private.png"]}}
    rows.write_text(json.dumps(evil) + "\n" + rows.read_text())
    done = command("sample.py", "task=evaluate", "metrics=[reconstruction]", f"run={stranger}")
    assert done.returncode == 0, done.stderr
    assert not [key for row in wandb_file.rows(stranger) for key in row if key == "evil"]
    rows.write_text("{\n")
    done = command("sample.py", "task=evaluate", "metrics=[reconstruction]", f"run={stranger}")
    assert done.returncode == 2
    assert f"'{rows}' is damaged" in done.stderr.splitlines()[-1]


def test_a_replaced_checkpoint_is_removed_by_its_name_in_the_folder_and_never_a_folder(tmp_path: Path):
    (tmp_path / "home").mkdir()
    with pytest.raises(OSError, match="home"):
        WholeCheckpointIO().remove_checkpoint(tmp_path / "home")
    here = str(tmp_path / "run" / "checkpoints")
    state = {
        "dirpath": "/elsewhere/checkpoints",
        "best_model_path": f"{here}/../../home",
        "last_model_path": "",
        "kth_best_model_path": "/elsewhere/checkpoints/val/loss=1.ckpt",
        "best_k_models": {f"{here}/../../home": 1.0, "/elsewhere/checkpoints/best.ckpt": 2.0},
    }
    found = moved(state, here)
    assert found["best_model_path"] == f"{here}/home"
    assert found["kth_best_model_path"] == f"{here}/val/loss=1.ckpt"
    assert found["best_k_models"] == {f"{here}/home": 1.0, f"{here}/best.ckpt": 2.0}
    assert (found["dirpath"], found["last_model_path"]) == (here, "")


BROKEN: dict[str, Callable[..., Any]] = {
    "no model": lambda c: c["vqgen"]["config"].update(model="x"),
    "no facts": lambda c: c["vqgen"]["config"].pop("facts"),
    "loggers without names": lambda c: c["vqgen"]["config"].update(logger=["a"]),
    "no weights": lambda c: c.update(state_dict=[1]),
    "no step": lambda c: c.pop("global_step"),
    "an option that is no more": lambda c: c["vqgen"]["config"]["model"].update(gone=1),
    "a value of another kind": lambda c: c["vqgen"]["config"]["model"]["quantizer"].update(num_embeddings="x"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.slow
def test_a_checkpoint_that_is_not_as_ours_are_is_told_in_one_line(how: str, stranger: Path, command: Command):
    file = stranger / "checkpoints" / "best.ckpt"
    contents = torch.load(file, weights_only=True)
    BROKEN[how](contents)
    torch.save(contents, file)
    with pytest.raises(CheckpointError, match=r"is not a checkpoint of vqgen|does not build"):
        load(file)


@pytest.mark.parametrize(
    ("section", "value"),
    [("model", "x"), ("facts", None), ("callbacks", {"best": "x"}), ("logger", {"csv": {"save_dir": "x"}})],
)
@pytest.mark.slow
def test_a_config_with_something_else_where_options_belong_is_told_in_one_line(
    section: str, value: Any, stranger: Path, command: Command
):
    _poison(stranger, lambda c, _: c.update({section: value}), None)
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {section}")
    assert done.stderr.count("\n") == 1
