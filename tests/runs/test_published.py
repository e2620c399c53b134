"""A published folder is the run that it came from, to the bit, and a stranger's runs nothing."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import TINY_PRIOR, Command
from tests.runs.test_checkpoint import EVIL
from vqgen import load, open_trained
from vqgen.batch import CodeBatch
from vqgen.drawing import Sampling
from vqgen.errors import CheckpointError, ConfigError, UserError
from vqgen.runs.checkpoint import open_run, open_tokenizer
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.folders import find_runs
from vqgen.runs.published import public
from vqgen.tasks.export import Export
from vqgen.tasks.sample import Sample
from vqgen.tasks.task import fitting, tasks

OLD = Path(__file__).parent / "of_0_1"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    pytest.importorskip("safetensors")


def _published(run: Any, folder: Path, which: str = "best") -> Path:
    Export("safetensors")(open_trained(run, which)).write(folder)
    return folder


@pytest.fixture(scope="module")
def vqvae(vqvae_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _published(vqvae_run, tmp_path_factory.mktemp("published") / "vqvae")


@pytest.fixture(scope="module")
def prior(prior_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _published(prior_run, tmp_path_factory.mktemp("published") / "prior")


@pytest.fixture
def strange(vqvae: Path, tmp_path: Path) -> Path:
    """A copy to be made evil."""
    return Path(shutil.copytree(vqvae, tmp_path / "strange"))


def _changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    contents = json.loads((folder / "config.json").read_text())
    change(contents)
    (folder / "config.json").write_text(json.dumps(contents))
    return folder


def test_a_tokenizer_reconstructs_to_the_bit_and_keeps_its_fingerprint(vqvae: Path, vqvae_run: Path):
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model, before = load(vqvae), load(vqvae_run)
    assert torch.equal(model.reconstruct(x), before.reconstruct(x))
    assert fingerprint(model) == fingerprint(before) == json.loads((vqvae / "config.json").read_text())["fingerprint"]
    assert torch.equal(load(vqvae / "model.safetensors").reconstruct(x), before.reconstruct(x))


def test_a_prior_comes_with_its_tokenizer_and_has_the_likelihood_and_the_draws_of_its_run(
    prior: Path, prior_run: Path, tmp_path: Path
):
    alone = Path(shutil.copytree(prior, tmp_path / "moved"))
    again, before = open_trained(alone), open_trained(prior_run)
    assert open_run(alone).tokenizer["fingerprint"] == fingerprint(again.modules[0])
    codes = [torch.randint(0, 8, (2, 4, 4), generator=torch.Generator().manual_seed(0))]
    batch = CodeBatch(codes, {"label": torch.tensor([0, 1])}, torch.arange(2))
    assert torch.equal(again.priors[0].nll(batch), before.priors[0].nll(batch))
    drawn = [Sample(3, sampling=Sampling(seed=4))(run).arrays["samples"] for run in (again, before)]
    assert (drawn[0] == drawn[1]).all()


def test_every_task_of_a_run_fits_its_published_folder(prior: Path, prior_run: Path):
    again, before = open_trained(prior), open_trained(prior_run)
    assert fitting(again) == fitting(before)
    for name in ("reconstruct", "interpolate", "codebook"):
        pictures = [tasks()[name]()(run).pictures for run in (again, before)]
        assert all(torch.equal(pictures[0][key], pictures[1][key]) for key in pictures[0]), name


def test_priors_of_two_levels_and_an_older_version_are_one_repository(tmp_path: Path):
    folder = _published([str(OLD / "top"), str(OLD / "bottom")], tmp_path / "both", "last")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "bottom", "tokenizer", "top"]
    assert [Path(run).name for run in find_runs(str(folder))] == ["bottom", "top"]
    drawn = [
        Sample(2, sampling=Sampling(seed=1))(run).arrays["samples"]
        for run in (open_trained(folder), open_trained([str(OLD / "top"), str(OLD / "bottom")], "last"))
    ]
    assert (drawn[0] == drawn[1]).all()
    with pytest.raises(ConfigError, match=r"holds several runs: say which: .*bottom, .*top"):
        load(folder)
    assert open_tokenizer(open_run(folder / "top"))[0].folder == (folder / "tokenizer").resolve()


@pytest.mark.parametrize("name", ["ae", "vae_iaf", "classifier"])
def test_models_without_codes_are_published_too(name: str, tmp_path: Path):
    folder = _published(OLD / name, tmp_path / name, "last")
    state, before = load(folder).state_dict(), load(OLD / name, "last").state_dict()
    assert all(torch.equal(state[key], before[key]) for key in before)


@pytest.mark.slow
def test_the_programs_take_a_published_folder_as_a_run(prior: Path, vqvae: Path, command: Command, tmp_path: Path):
    mine = Path(shutil.copytree(prior, tmp_path / "mine"))
    done = command("sample.py", f"run={mine}", "num_samples=2")
    assert done.returncode == 0, done.stderr
    assert (mine / "sample" / "samples.png").exists()
    words = ["model=gated_pixelcnn", f"tokenizer={vqvae}", f"run_dir={tmp_path / 'new'}", "logger=csv", *TINY_PRIOR]
    done = command("train.py", *words)
    assert done.returncode == 0, done.stderr
    assert open_run(tmp_path / "new").tokenizer["fingerprint"] == fingerprint(load(vqvae))
    done = command("train.py", f"resume={vqvae}")
    assert done.stderr.strip().endswith("has no state of an optimiser to go on with; train a new one")
    assert done.stderr.strip().count("\n") == 0


STRANGER = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text()


def test_a_program_that_knows_nothing_of_vqgen_reads_it(vqvae: Path, vqvae_run: Path, tmp_path: Path):
    program = STRANGER.split("```python\n# stranger.py\n")[1].split("```")[0]
    assert len(program.splitlines()) <= 10
    assert "vqgen" not in program
    (tmp_path / "stranger.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-P", str(tmp_path / "stranger.py"), str(vqvae)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "vqgen.models.VQVAE" in done.stdout
    codebook = load(vqvae_run).quantizer.codebook
    assert f"quantizer.codebook {tuple(codebook.shape)} {float(codebook.mean()):.6f}" in done.stdout


def test_a_tensor_with_two_names_is_there_under_both(vqvae_run: Path):
    run = open_trained(vqvae_run)
    run.model.register_buffer("twin", run.model.quantizer.codebook)
    from safetensors.torch import load as read

    from vqgen.runs.published import repository

    files = repository({"": (run.runs[0], run.model.state_dict(), "mark")}, None)
    tensors = read(files["model.safetensors"])
    assert torch.equal(tensors["twin"], tensors["quantizer.codebook"])


@pytest.mark.parametrize("model", EVIL, ids=lambda m: str(m)[:60])
def test_a_config_that_names_foreign_code_is_refused(model: dict[str, Any], strange: Path):
    _changed(strange, lambda contents: contents["config"].update(model=model))
    with pytest.raises(CheckpointError, match="refused"):
        load(strange)


@pytest.mark.parametrize("path", ["/etc", "../../elsewhere", "~/x", "file:///etc/passwd"])
def test_a_path_that_leads_away_is_refused(path: str, strange: Path):
    _changed(strange, lambda contents: contents["config"]["data"].update(cache=path))
    with pytest.raises(CheckpointError, match=rf"names data\.cache={path}, a path out of the working folder: refused"):
        load(strange)


def test_sections_that_say_what_to_run_or_send_are_not_read(strange: Path):
    evil = {"callbacks": {"evil": {"_target_": "os.system"}}, "logger": {"x": 1}, "trust": True, "run_dir": "/etc"}
    _changed(strange, lambda contents: contents["config"].update(evil))
    config = open_run(strange).config
    assert config["logger"] is None
    assert not {"callbacks", "trust", "run_dir"} & set(config)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another library": (lambda c: c.pop("library"), "is not of vqgen"),
    "a newer format": (lambda c: c.update(format=2), "has format 2, and this version of vqgen reads 1"),
    "no config": (lambda c: c.update(config=[]), "holds no config"),
    "no model": (lambda c: c["config"].pop("model"), r"holds no vqgen\.config\.model\._target_"),
    "no seed": (lambda c: c["config"].update(seed="x"), r"holds no vqgen\.config\.seed"),
    "no step": (lambda c: c.pop("step"), "holds no global_step"),
    "odd data": (lambda c: c.update(data=[1]), "are not as they should"),
    "other sizes": (
        lambda c: c["config"]["model"]["quantizer"].update(num_embeddings=9),
        r"does not fit its own config: .*size mismatch for quantizer",
    ),
    "too large for any memory": (
        lambda c: c["config"]["model"]["quantizer"].update(num_embeddings=10**14),
        "names a model that this version of vqgen does not build|does not fit",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_config_is_told_in_a_line(what: str, strange: Path):
    change, told = BROKEN[what]
    with pytest.raises(UserError, match=told) as error:
        load(_changed(strange, change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b" " * (2**24 + 1)])
def test_a_config_that_is_none_is_told_in_a_line(text: bytes, strange: Path):
    (strange / "config.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"cannot be read|is not of vqgen|that is no config") as error:
        load(strange)
    assert "\n" not in str(error.value)


def _header(claim: dict[str, Any], size: int | None = None) -> bytes:
    header = json.dumps(claim).encode()
    return struct.pack("<Q", len(header) if size is None else size) + header


GARBAGE = {
    "empty": b"",
    "noise": bytes(range(256)) * 4,
    "a header of gigabytes": _header({}, 2**40),
    "a tensor of gigabytes": _header({"x": {"dtype": "F32", "shape": [2**32], "data_offsets": [0, 2**34]}}),
    "overlapping tensors": _header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}) + b"1234",
    "a pickle": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_weights_that_are_none_are_told_in_a_line(what: str, strange: Path):
    (strange / "model.safetensors").write_bytes(GARBAGE[what])
    with pytest.raises(CheckpointError, match="cannot be read, it is cut short or no safetensors") as error:
        load(strange)
    assert "\n" not in str(error.value)


def test_weights_cut_short_missing_or_too_many_are_told_in_a_line(strange: Path):
    from safetensors.torch import load_file, save_file

    file = strange / "model.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    file.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        load(strange)
    name = "quantizer.codebook"
    others = {key: value for key, value in tensors.items() if key != name}
    for wrong, told in (
        (others, "Missing key"),
        (tensors | {"more": torch.ones(1)}, "Unexpected key"),
        (others | {name: torch.ones(3, 3)}, "size mismatch"),
    ):
        save_file(wrong, file)
        with pytest.raises(CheckpointError, match=rf"does not fit its own config: .*{told}") as error:
            load(strange)
        assert "\n" not in str(error.value)


def test_paths_of_the_machine_stay_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/zaphod")
    config = {
        "data": {"root": "/home/zaphod/images/faces", "cache": "/home/zaphod", "mean": 0.5, "other": "data/prepared"},
        "trainer": {"default_root_dir": "~/runs", "profiler": [{"dirpath": "/home/trillian"}]},
        "facts": {"class_names": ["/a", "b"]},
        "run_dir": "/home/zaphod/runs/x",
        "callbacks": {"best": {"dirpath": "/home/zaphod/runs/x"}},
        "logger": {"wandb": {"entity": "zaphod"}},
    }
    assert public(config) == {
        "data": {"root": "data/faces", "cache": "data", "mean": 0.5, "other": "data/prepared"},
        "trainer": {"default_root_dir": "data/runs", "profiler": [{"dirpath": "data"}]},
        "facts": {"class_names": ["/a", "b"]},
    }


def test_a_config_that_json_cannot_hold_is_not_written(vqvae_run: Path):
    from vqgen.runs.published import repository

    run = open_run(vqvae_run)
    for value in ({1: 2}, float("inf")):
        other = run._replace(config=run.config | {"optim": {"milestones": value}})
        with pytest.raises(UserError, match="cannot be written as JSON"):
            repository({"": (other, {}, "mark")}, None)


def test_a_run_that_holds_an_export_of_itself_is_the_run(tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(OLD / "top", run)
    _published(run, run / "export", "last")
    assert find_runs(str(run)) == [str(run)]
