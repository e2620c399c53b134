"""A stranger's run is not gone on with where it would run, or write, what is not ours."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command

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
    "through ours": lambda c, cmd: c["callbacks"].update(evil={"_target_": "vqgen.version.subprocess.run", "args": cmd}),
    "Lightning's": lambda c, cmd: c["callbacks"].update(evil={"_target_": "pytorch_lightning.cli.LightningCLI"}),
    "interpolation": lambda c, cmd: c["trainer"].update(max_time="${oc.env:HOME}"),
    "args": lambda c, cmd: c["callbacks"]["best"].update(_args_=[_system(cmd)]),
}
OUTSIDE = {
    "checkpoints": lambda c, p: c["callbacks"]["best"].update(dirpath=str(p)),
    "last": lambda c, p: c["callbacks"]["last"].update(dirpath=str(p)),
    "csv": lambda c, p: c["logger"]["csv"].update(save_dir=str(p)),
    "file name": lambda c, p: c["callbacks"]["best"].update(filename=f"../../../{p.name}/best"),
    "absolute file name": lambda c, p: c["callbacks"]["best"].update(filename=str(p / "best")),
    "profiler": lambda c, p: c["trainer"].update(
        profiler={"_target_": "pytorch_lightning.profilers.SimpleProfiler", "dirpath": str(p)}
    ),
}


@pytest.fixture
def stranger(vqvae_run: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be made evil."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return tmp_path / "run"


def _save(run: Path, contents: dict[str, Any]) -> None:
    torch.save(contents, run / "checkpoints" / "last.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("where", EVIL)
def test_a_foreign_target_anywhere_in_a_config_is_refused(
    where: str, stranger: Path, vqvae_run: Path, command: Command, tmp_path: Path
):
    contents = torch.load(vqvae_run / "checkpoints" / "last.ckpt", weights_only=True)
    EVIL[where](contents["vqgen"]["config"], HERE.format(tmp_path / "was_here"))
    _save(stranger, contents)
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    assert "refused" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "was_here").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", OUTSIDE)
def test_a_config_never_writes_outside_of_its_run_folder(
    where: str, stranger: Path, vqvae_run: Path, command: Command, tmp_path: Path
):
    contents = torch.load(vqvae_run / "checkpoints" / "last.ckpt", weights_only=True)
    OUTSIDE[where](contents["vqgen"]["config"], tmp_path / "outside")
    _save(stranger, contents)
    done = command("train.py", f"resume={stranger}", "trainer.max_epochs=3")
    assert done.returncode == 2
    assert "refused" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "outside").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["train.py", "resume={}"], ["train.py", "model=pixelcnn", "tokenizer={}"],
                                   ["sample.py", "task=reconstruct", "run={}"]])
def test_a_pickled_command_is_not_run_by_any_program(
    words: list[str], stranger: Path, command: Command, tmp_path: Path
):
    payload = Payload(HERE.format(tmp_path / "was_here"))
    _save(stranger, {"vqgen": {"config": {}, "nested": [({"x": payload},)]}, "state_dict": {}})
    done = command(*[word.format(stranger) for word in words])
    assert done.returncode == 2
    assert "holds more than plain data and was not loaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "was_here").exists()


@pytest.mark.slow
def test_a_foreign_target_in_the_config_of_a_run_without_checkpoint_is_refused(
    stranger: Path, vqvae_run: Path, command: Command, tmp_path: Path
):
    text = (vqvae_run / "config.yaml").read_text()
    evil = text.replace("pytorch_lightning.callbacks.LearningRateMonitor", "subprocess.Popen")
    assert evil != text
    (stranger / "config.yaml").write_text(evil)
    done = command("train.py", f"resume={stranger}")
    assert done.returncode == 2
    assert "subprocess.Popen" in done.stderr
    assert "refused" in done.stderr


@pytest.mark.slow
def test_a_run_that_was_moved_goes_on_where_it_is(vqvae_run: Path, command: Command, tmp_path: Path):
    (tmp_path / "moved" / "checkpoints").mkdir(parents=True)
    for name in ("last.ckpt", "best.ckpt"):
        (tmp_path / "moved" / "checkpoints" / name).write_bytes((vqvae_run / "checkpoints" / name).read_bytes())
    before = (vqvae_run / "checkpoints" / "last.ckpt").stat().st_mtime
    done = command("train.py", f"resume={tmp_path / 'moved'}", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    assert (vqvae_run / "checkpoints" / "last.ckpt").stat().st_mtime == before
    assert torch.load(tmp_path / "moved" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
