"""What goes to the Hub: the files of the run and no word of the machine."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vqgen import load, open_trained
from vqgen.errors import ConfigError, UserError
from vqgen.tasks.evaluate import Evaluate
from vqgen.tasks.export import Export
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.publish import Publish
from vqgen.tasks.sample import Sample

HOME = "zaphod"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What is uploaded to a Hub that takes all."""
    pytest.importorskip("safetensors")
    library = pytest.importorskip("huggingface_hub")
    seen = SimpleNamespace(files={}, calls=[], private=False, error=None)

    class Api:
        def __init__(self, **options: Any) -> None:
            assert "token" not in options

        def create_repo(self, name: str, **options: Any) -> str:
            seen.calls.append(("create_repo", name, options))
            return f"https://huggingface.co/{name}"

        def repo_info(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(private=seen.private)

        def create_branch(self, name: str, **options: Any) -> None:
            seen.calls.append(("create_branch", name, options))

        def upload_folder(self, folder_path: Path, **options: Any) -> None:
            if seen.error:
                raise seen.error
            seen.calls.append(("upload_folder", options))
            paths = [path for path in Path(folder_path).rglob("*") if path.is_file()]
            seen.files = {path.relative_to(folder_path).as_posix(): path.read_bytes() for path in paths}

    monkeypatch.setattr(library, "HfApi", Api)
    return seen


@pytest.fixture
def at_home(prior_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prior whose config names the home folder wherever a path may stand, with samples and reconstructions."""
    home = tmp_path / "home" / HOME
    run = Path(shutil.copytree(prior_run, home / "runs" / "prior"))
    monkeypatch.setenv("HOME", str(home))
    for file in (run / "checkpoints" / "best.ckpt", run / "tokenizer.ckpt"):
        contents = torch.load(file, weights_only=True)
        config = contents["vqgen"]["config"]
        config |= {"run_dir": str(run), "data_dir": f"{home}/data", "project": HOME, "tags": [HOME]}
        config["data"]["cache"] = f"{home}/data/codes"
        config["logger"] = {"wandb": {"_target_": "vqgen.logging.Wandb", "save_dir": str(run), "entity": HOME}}
        if contents["vqgen"]["tokenizer"]:
            contents["vqgen"]["tokenizer"]["path"] = f"../../../{HOME}/runs/tokenizer/checkpoints/best.ckpt"
            config["tokenizer"] = f"{home}/runs/tokenizer"
        else:
            del config["data"]["cache"]
        torch.save(contents, file)
    return run


def test_nothing_is_uploaded_but_the_files_of_the_run_and_they_name_no_place_of_the_machine(
    hub: SimpleNamespace, at_home: Path
):
    trained = open_trained(at_home)
    Sample(2)(trained).write(at_home / "sample")
    Outcome(records={"evaluation": _record(trained) | {"run": str(at_home)}}).write(at_home / "evaluate")
    outcome = Publish("me/mine", license="mit")(trained)
    expected = {"config.json", "model.safetensors", "tokenizer/config.json", "tokenizer/model.safetensors"}
    assert set(hub.files) == expected | {"README.md", "samples.png"}
    assert hub.files == outcome.files
    for name, contents in hub.files.items():
        assert HOME.encode() not in contents, name
        assert b"/tmp" not in contents, name
    assert hub.files["samples.png"] == (at_home / "sample" / "samples.png").read_bytes()
    assert "Uploaded to https://huggingface.co/me/mine (run=hf://me/mine):" in outcome.text


def _record(trained: Any) -> dict[str, Any]:
    """Of task=evaluate, as it is written."""
    return dict(Evaluate(metrics=["likelihood"], num_samples=8)(trained).records["evaluation"])


def test_the_card_is_filled_from_the_run(prior_run: Path, tmp_path: Path):
    pytest.importorskip("safetensors")
    run = Path(shutil.copytree(prior_run, tmp_path / "prior"))
    trained = open_trained(run)
    record = _record(trained)
    Outcome(records={"evaluation": record}).write(run / "evaluate_2")
    Outcome(records={"evaluation": record | {"step": 1, "metrics": {"of_others": 1.0}}}).write(run / "evaluate_3")
    files = Publish("me/mine", license="cc-by-4.0", dry_run=True)(trained).files
    card = files["README.md"].decode()
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert (
        "library_name: vqgen\nlicense: cc-by-4.0\npipeline_tag: unconditional-image-generation\ntags:\n- vqgen" in head
    )
    parameters = sum(p.numel() for p in load(prior_run).parameters())
    for line in (
        "# mine",
        f"- `RasterPrior (GatedPixelCNN)`: {parameters:,} parameters",
        "top 4x4 of 8",
        "classes: circle, square",
        "images: 96 train, 32 val, 32 test",
        "python sample.py run=hf://me/mine",
        'open_trained("hf://me/mine")',
        "At the end of the training of `RasterPrior (GatedPixelCNN)`, on the test split:",
        "| test/nats_per_code | ",
        "`python sample.py task=evaluate num_samples=8 split=test run=hf://me/mine`",
        "| nats_per_code(top) | " if "nats_per_code(top)" in record["metrics"] else "| nats_per_code",
        f"fingerprint `{trained.runs[1].tokenizer['fingerprint']}`",
        "![samples](samples.png)",
    ):
        assert line in body, line
    assert "of_others" not in body
    assert files["samples.png"] == sorted((run / "images").glob("samples_*.png"))[-1].read_bytes()


def test_figures_of_other_weights_are_not_on_the_card(vqvae_run: Path):
    pytest.importorskip("safetensors")
    last = Export("safetensors")(open_trained(vqvae_run, "last"))
    assert "None are known of these weights." in last.files["README.md"].decode()
    best = Export("safetensors")(open_trained(vqvae_run))
    assert "| test/psnr |" in best.files["README.md"].decode()


def test_pictures_of_the_data_stay_here_unless_they_are_named(vqvae_run: Path):
    pytest.importorskip("safetensors")
    trained = open_trained(vqvae_run)
    file = str(vqvae_run / "images" / "reconstructions_0001.png")
    names = [set(Publish("me/mine", pictures=p, dry_run=True)(trained).files) for p in (None, [], [file])]
    assert names[0] == names[1] == {"config.json", "model.safetensors", "README.md"}
    assert names[2] == names[0] | {"reconstructions_0001.png"}
    with pytest.raises(UserError, match=r"pictures=nowhere\.png: there is no such PNG file"):
        Publish("me/mine", pictures=["nowhere.png"], dry_run=True)(trained)


def test_ones_own_card_is_taken_with_its_pictures(vqvae_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("safetensors")
    Export("safetensors")(open_trained(vqvae_run)).write(tmp_path / "mine")
    card = tmp_path / "mine" / "README.md"
    shutil.copy(vqvae_run / "images" / "reconstructions_0001.png", tmp_path / "mine" / "faces.png")
    card.write_text(card.read_text() + "Mine. ![x](faces.png) ![y](../../secret.png)\n")
    files = Publish("me/mine", dry_run=True)(open_trained(tmp_path / "mine")).files
    assert set(files) == {"config.json", "model.safetensors", "README.md", "faces.png"}
    text = files["README.md"].decode()
    assert "Mine. " in text
    assert 'load("hf://me/mine")' in text
    assert "FOLDER" not in text
    with pytest.raises(UserError, match=r"license=mit: '.*README\.md' has entries of its own"):
        Publish("me/mine", license="mit", dry_run=True)(open_trained(tmp_path / "mine"))
    monkeypatch.setenv("HOME", str(tmp_path))
    card.write_text(f"From {tmp_path}/mine.\n")
    with pytest.raises(UserError, match="a folder of this machine: take that out"):
        Publish("me/mine", dry_run=True)(open_trained(tmp_path / "mine"))


def test_a_dry_run_uploads_nothing_and_says_what_it_would(hub: SimpleNamespace, vqvae_run: Path):
    outcome = Publish("me/mine", dry_run=True)(open_trained(vqvae_run))
    assert not hub.calls
    assert outcome.text.startswith("Would be uploaded to me/mine:")
    assert f"{len(outcome.files['model.safetensors']):,} bytes  model.safetensors" in outcome.text


def test_a_branch_a_message_and_a_private_repository(hub: SimpleNamespace, vqvae_run: Path):
    hub.private = True
    outcome = Publish("me/mine", private=True, revision="v2", message="Second")(open_trained(vqvae_run))
    assert "run=hf://me/mine@v2" in outcome.text
    created, branch, (_, uploaded) = hub.calls
    assert created[2] == {"private": True, "exist_ok": True}
    assert branch[2] == {"branch": "v2", "exist_ok": True}
    assert (uploaded["revision"], uploaded["commit_message"]) == ("v2", "Second")
    assert set(uploaded["delete_patterns"]) == {
        f"{a}{b}" for a in ("", "*/") for b in ("config.json", "model.safetensors")
    }


def test_a_repository_that_everyone_sees_is_not_taken_for_a_private_one(hub: SimpleNamespace, vqvae_run: Path):
    with pytest.raises(UserError, match="this repository is there and everyone's"):
        Publish("me/mine", private=True)(open_trained(vqvae_run))
    assert not hub.files


def test_what_the_hub_refuses_is_told_in_a_line(hub: SimpleNamespace, vqvae_run: Path):
    hub.error = OSError("401 Client Error\nand more")
    hub.error.response = SimpleNamespace(status_code=401)
    with pytest.raises(
        UserError, match="repo=me/mine: the Hub did not take it: 401 Client Error; log in with: hf auth"
    ):
        Publish("me/mine")(open_trained(vqvae_run))


def test_options_that_cannot_be_are_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch):
    import sys

    for repo in ("mine", "a/b/c", "../x/y", ""):
        with pytest.raises(ConfigError, match="expected USER/NAME"):
            Publish(repo, dry_run=True)
    with pytest.raises(ConfigError, match=r"license=MIT!: expected a name"):
        Publish("a/b", license="MIT!", dry_run=True)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"task=publish needs .*: pip install 'vqgen\[hub\]'"):
        Publish("a/b")


def test_without_safetensors_an_export_is_refused_in_a_line(vqvae_run: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match=r"published runs need the package safetensors.*: pip install safetensors$"):
        Export("safetensors")(open_trained(vqvae_run))
