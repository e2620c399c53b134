"""A checkpoint rebuilds its model alone, and a stranger's runs nothing."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from vqgen import load
from vqgen.errors import CheckpointError, ConfigError
from vqgen.runs.checkpoint import fingerprint, module_of, open_run, open_tokenizer


def _images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_checkpoint_alone_rebuilds_a_model_of_identical_outputs(vqvae_run: Path, tmp_path: Path):
    alone = tmp_path / "elsewhere.ckpt"
    alone.write_bytes((vqvae_run / "checkpoints" / "best.ckpt").read_bytes())
    x = _images()
    assert torch.equal(load(alone).reconstruct(x), load(vqvae_run).reconstruct(x))


def test_the_rebuilt_weights_are_the_saved_ones(vqvae_run: Path):
    run = open_run(vqvae_run)
    for name, tensor in module_of(run).state_dict().items():
        assert torch.equal(tensor, run.contents["state_dict"][name]), name


def test_reconstruction_is_decode_of_encode(vqvae_run: Path):
    model, x = load(vqvae_run), _images()
    codes = model.encode(x)
    assert [tuple(c.shape[1:]) for c in codes] == model.grids
    assert torch.equal(model.decode(codes), model.reconstruct(x))


def test_the_checkpoint_holds_plain_data_only(vqvae_run: Path):
    for name in ("best", "last"):
        contents = torch.load(vqvae_run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert contents["vqgen"]["config"]["data"]["_target_"] == "vqgen.data.sources.Shapes"
        assert {"optimizer_states", "lr_schedulers", "loops"} <= set(contents)


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/vqgen_was_here",)


def test_a_checkpoint_with_a_pickled_object_is_refused(tmp_path: Path):
    file = tmp_path / "evil.ckpt"
    torch.save({"vqgen": _Payload()}, file)
    with pytest.raises(CheckpointError, match="more than plain data"):
        load(file)
    assert not Path("/tmp/vqgen_was_here").exists()


EVIL = [
    {"_target_": "os.system", "command": "true"},
    {"_target_": "vqgen.runs.checkpoint.os.system", "command": "true"},
    {"_target_": "vqgen.models.VQVAE", "encoder": {"_target_": "subprocess.Popen", "_partial_": True}},
    {"_target_": "vqgen.models.VQVAE", "shape": [1, {"_target_": "builtins.eval", "source": "1"}]},
    {"_target_": "vqgen.models.VQVAE", "shape": "${oc.env:HOME}"},
    {"_target_": "torch.optim.adam.torch.load", "f": "x"},
    {"_target_": "vqgen.models.VQVAE", "_args_": [{"_target_": "os.getcwd"}]},
    {"_target_": "vqgen.runs.checkpoint.load", "run": "x"},
]


@pytest.mark.parametrize("model", EVIL, ids=lambda m: str(m)[:60])
def test_a_config_that_names_foreign_code_is_refused(model: dict[str, Any], vqvae_run: Path, tmp_path: Path):
    file = tmp_path / "evil.ckpt"
    contents = torch.load(vqvae_run / "checkpoints" / "best.ckpt", weights_only=True)
    contents["vqgen"]["config"]["model"] = model
    torch.save(contents, file)
    with pytest.raises(CheckpointError, match="refused"):
        load(file)


def test_a_truncated_checkpoint_is_told_so(vqvae_run: Path, tmp_path: Path):
    whole = (vqvae_run / "checkpoints" / "best.ckpt").read_bytes()
    file = tmp_path / "short.ckpt"
    for part in (0, 100, len(whole) // 2):
        file.write_bytes(whole[:part])
        with pytest.raises(CheckpointError, match=r"cannot be read|more than plain data"):
            load(file)


def test_a_folder_without_run_is_told_so(tmp_path: Path):
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="no run folder"):
        load(tmp_path / "nowhere")


def test_the_fingerprint_is_of_what_decides_the_codes_and_of_nothing_else(vqvae_run: Path):
    run = open_run(vqvae_run)
    before = fingerprint(module_of(run))
    for name, decides in {
        "encoder.network.0.weight": True,
        "quantizer.codebook": True,
        "quantizer.sums": False,
        "decoder.network.0.bias": False,
    }.items():
        module = module_of(run)
        module.state_dict()[name].flatten()[0].add_(1e-3)
        assert (fingerprint(module) != before) is decides, name


def test_a_prior_refuses_another_tokenizer_and_names_both(prior_run: Path, vqvae_run: Path, tmp_path: Path):
    run = open_run(prior_run)
    assert fingerprint(open_tokenizer(run)[1]) == run.tokenizer["fingerprint"]
    other = torch.load(vqvae_run / "checkpoints" / "best.ckpt", weights_only=True)
    other["state_dict"]["quantizer.codebook"] += 1
    torch.save(other, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=rf"{run.tokenizer['fingerprint']}.*is [0-9a-f]{{16}}"):
        open_tokenizer(run, tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    "quantizer",
    [{"_target_": "vqgen.nn.quantize.CosineEMAQuantizer"}, {"rate_weight": 0.1}],
    ids=["cosine", "rate"],
)
def test_the_fingerprint_knows_the_rule_by_which_codes_are_chosen(
    prior_run: Path, tmp_path: Path, quantizer: dict[str, Any]
):
    run = open_run(shutil.copytree(prior_run, tmp_path / "prior"))
    contents = torch.load(run.folder / "tokenizer.ckpt", weights_only=True)
    contents["vqgen"]["config"]["model"]["quantizer"] |= quantizer
    contents["vqgen"]["config"]["weights"] = str(prior_run)  # as one that was tuned from the prior's own
    torch.save(contents, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="its codes mean something else"):
        open_tokenizer(run, tmp_path / "other.ckpt")
    if "rate_weight" not in quantizer:
        del contents["vqgen"]["config"]["weights"]  # as an earlier version left it, which did not know rules
        torch.save(contents, tmp_path / "other.ckpt")
        open_tokenizer(run, tmp_path / "other.ckpt")


@pytest.mark.slow
def test_another_checkpoint_than_the_one_that_is_asked_for_is_not_taken_in_silence(vqvae_run: Path, tmp_path: Path):
    shutil.copytree(vqvae_run, tmp_path / "run", ignore=shutil.ignore_patterns("best.ckpt", "wandb"))
    with pytest.warns(UserWarning, match="has no best.ckpt: last.ckpt is taken"):
        assert open_run(tmp_path / "run").file.name == "last.ckpt"
