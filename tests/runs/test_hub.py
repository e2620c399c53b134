"""Runs of the Hub, in a folder that is laid out as its cache: no network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT, TINY_PRIOR, Command
from vqgen import load, open_trained
from vqgen.errors import CheckpointError, ConfigError
from vqgen.runs.checkpoint import open_run
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.folders import find_runs, output_base
from vqgen.runs.hub import cached_name, snapshot
from vqgen.tasks.export import Export

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def place(folder: Path, cache: Path, repo: str, revision: str = "main") -> Path:
    """Put the files of a folder into a cache as the Hub's library does: blobs, refs, and links in a snapshot."""
    home = cache / f"models--{repo.replace('/', '--')}"
    for part in ("blobs", "refs"):
        (home / part).mkdir(parents=True, exist_ok=True)
    (home / "refs" / revision).write_text(COMMIT)
    shutil.rmtree(home / "snapshots", ignore_errors=True)
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        shutil.copy(file, home / "blobs" / f"blob{number}")
        link = home / "snapshots" / COMMIT / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        depth = len(link.relative_to(home).parts) - 1
        link.symlink_to(Path(*[".."] * depth, "blobs", f"blob{number}"))
    return home / "snapshots" / COMMIT


@pytest.fixture(scope="module")
def cache(vqvae_run: Path, prior_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a tokenizer and its prior."""
    pytest.importorskip("huggingface_hub")
    pytest.importorskip("safetensors")
    home = tmp_path_factory.mktemp("hub")
    for name, run in (("tokenizer", vqvae_run), ("prior", prior_run)):
        Export("safetensors")(open_trained(run)).write(home / name)
        place(home / name, home / "hub", f"somebody/{name}", "v2" if name == "prior" else "main")
    place(home / "prior", home / "hub", "somebody/prior")
    return home


@pytest.fixture
def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(cache))  # of programs that a test starts
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot.cache_clear()
    return cache / "hub"


def test_a_model_of_the_hub_is_the_run_it_came_from(offline: Path, vqvae_run: Path, prior_run: Path):
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(load("hf://somebody/tokenizer").reconstruct(x), load(vqvae_run).reconstruct(x))
    for address in ("hf://somebody/prior", "hf://somebody/prior@v2", f"hf://somebody/prior@{COMMIT}"):
        trained = open_trained(address)
        assert fingerprint(trained.priors[0]) == fingerprint(load(prior_run))
        assert trained.title().startswith("prior, step ")
    assert torch.equal(load("hf://somebody/prior/tokenizer").reconstruct(x), load(vqvae_run).reconstruct(x))


def test_results_of_a_run_of_the_hub_go_beside_the_user_and_not_into_the_cache(offline: Path):
    folder = open_run("hf://somebody/prior").folder
    assert folder.is_relative_to(offline)
    assert output_base(folder) == Path("runs", "hub", "somebody", "prior")
    assert cached_name(folder / "tokenizer") == Path("somebody", "prior", "tokenizer")
    assert cached_name(Path("runs", "snapshots", "x")) is None


@pytest.mark.slow
def test_both_programs_take_an_address(offline: Path, command: Command, tmp_path: Path):
    done = command("sample.py", "run=hf://somebody/prior@v2", "num_samples=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/hub/somebody/prior/sample/samples.png").exists()
    words = ["model=gated_pixelcnn", "tokenizer=hf://somebody/tokenizer", "run_dir=new", "logger=csv", *TINY_PRIOR]
    done = command("train.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert open_run(tmp_path / "new").tokenizer["fingerprint"] == fingerprint(load("hf://somebody/tokenizer"))
    card = Export("safetensors")(open_trained(tmp_path / "new")).files["README.md"].decode()
    assert "base_model: somebody/tokenizer" in card
    done = command("train.py", "resume=hf://somebody/prior", cwd=tmp_path)
    assert done.stderr.strip().splitlines()[-1].endswith("to go on with; train a new one")


WRONG = {
    "hf://nobody/nothing": r"'hf://nobody/nothing' is not in the Hub's cache, '.*hub', and HF_HUB_OFFLINE is set",
    "hf://somebody/prior@v3": r"is not in the Hub's cache",
    "hf://somebody": r"is no address of the Hub: expected hf://USER/NAME or hf://USER/NAME@REVISION",
    "hf://somebody/../etc": "is no address",
    "hf://somebody/prior/../../x": "is no address",
    "hf://a--b/c..d": "cannot be had|is not in the Hub's cache",
    "hf://somebody/prior/top": r"holds no run of vqgen: there is no config\.json",
}


@pytest.mark.parametrize("address", WRONG)
def test_what_is_not_there_is_told_in_a_line_with_the_option(address: str, offline: Path):
    with pytest.raises(ConfigError, match=rf"^run={address}: .*{WRONG[address]}") as error:
        find_runs(address)
    assert "\n" not in str(error.value)


def test_another_librarys_repository_is_told_and_its_weights_are_not_downloaded(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    found = place(tmp_path, offline, "google/bert")
    asked: list[Any] = []

    def download(name: str, **options: Any) -> str:
        asked.append(options["allow_patterns"])
        return str(found)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match=r"is not of vqgen: its repository holds a model of another library"):
        snapshot("hf://google/bert")
    assert asked == [["config.json", "*/config.json"]]


def test_without_the_package_an_address_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"^run=hf://a/b: hf://a/b needs .*: pip install 'vqgen\[hub\]'$"):
        find_runs("hf://a/b")


HIDDEN = "import sys; sys.modules['huggingface_hub'] = None; import sample; sample.main()"


@pytest.mark.slow
def test_the_program_says_so_in_one_line():
    line = [sys.executable, "-c", HIDDEN, "run=hf://a/b"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    told = "error: run=hf://a/b: hf://a/b needs the package huggingface_hub: pip install 'vqgen[hub]'"
    assert (done.returncode, done.stderr.strip()) == (2, told)
