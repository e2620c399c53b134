"""What only a GPU does: it agrees with the CPU, in bfloat16, compiled, and position by position."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from tests.benchmarks.train_step import batch_for, model_of
from tests.conftest import ROOT, composed
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen.batch import Condition
from vqgen.drawing import KnownCodes, Sampling
from vqgen.errors import ConfigError
from vqgen.nn.precision import full_float32
from vqgen.nn.quantize.search import nearest_vectors
from vqgen.training import record

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
GPU = pytest.param("cuda", marks=gpu)
EITHER = pytest.mark.parametrize("device", ["cpu", GPU])


def test_distances_to_code_vectors_are_not_rounded_to_tf32(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@EITHER
def test_the_nearest_code_is_that_of_float64(device: str):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    x, codebook = 10 + torch.randn(4096, 64), 10 + torch.randn(512, 64)
    try:
        found = nearest_vectors(x.to(device), codebook.to(device)).cpu()
    finally:
        torch.set_float32_matmul_precision(before)
    best = torch.cdist(x.double(), codebook.double()).square()
    assert (best[torch.arange(4096), found] - best.min(1).values).max() < 0.02  # of some 70; rounded to TF32, tenths


@EITHER
@pytest.mark.parametrize("name", ["vqvae2", "pixelsnail"])
def test_a_step_in_bfloat16_has_the_loss_of_float32_and_finite_gradients(name: str, device: str):
    model = model_of(name, (16, 16)).to(device).eval()
    batch = batch_for(model, 2, device)
    plain = model.objective(batch).loss
    with torch.autocast(device, torch.bfloat16):
        loss = model.objective(batch).loss
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain.item(), rel=0.03)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


COMPILED_AND_PLAIN = """
import copy, sys
from tests.benchmarks.train_step import batch_for, model_of
plain = model_of(sys.argv[1], (16, 16)).to(sys.argv[2]).eval()
compiled = copy.deepcopy(plain)
for network in compiled.children():
    network.compile()
batch = batch_for(plain, 2, sys.argv[2])
print(*(model.objective(batch).loss.item() for model in (compiled, plain)))
"""


@pytest.mark.parametrize("device", [GPU])
@pytest.mark.parametrize("name", ["vqvae2", "pixelsnail"])
def test_compiled_steps_are_those_of_plain_ones(name: str, device: str):
    """In a process of its own: there are no type checks in it, which the compiler cannot read."""
    line = [sys.executable, "-c", COMPILED_AND_PLAIN, name, device]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    compiled, plain = map(float, done.stdout.split())
    assert compiled == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("device", ["meta", GPU])
def test_drawing_and_training_mix_no_devices(device: str):
    model = model_of("pixelsnail", (3, 3)).to(device)
    batch = batch_for(model, 2, device)
    model.objective(batch).loss.backward()
    known = KnownCodes(torch.zeros(2, 3, 3, dtype=torch.bool, device=device), batch.codes[0])
    drawn = model.sample(2, batch.condition, Sampling(0.9, 4, 0.9, 2.0), known=known)
    assert drawn.device.type == device
    assert drawn.shape == (2, 3, 3)


@pytest.mark.parametrize("device", [GPU])
@pytest.mark.parametrize("name", ["pixelsnail", "gated_pixelcnn", "pixelcnn"])
def test_a_map_drawn_position_by_position_has_the_logits_of_a_forward_pass(name: str, device: str):
    model = model_of(name, (4, 4)).to(device).eval()
    codes = batch_for(model, 2, device).codes[0]
    condition = Condition(given={"label": torch.zeros(2, dtype=torch.long, device=device)})
    with torch.no_grad(), full_float32(), torch.backends.cudnn.flags(allow_tf32=False), warnings.catch_warnings():
        warnings.filterwarnings("error", "drawing is not captured")
        whole = model(codes, condition).flatten(2)
        state = model.begin(2, condition)
        for position, of_all in enumerate(codes.flatten(1).unbind(1)):
            torch.testing.assert_close(state.logits(), whole[:, :, position], rtol=1e-3, atol=1e-3)
            state.push(of_all)


@pytest.mark.parametrize(("device", "number"), [("cuda:0", 0), ("cuda:1", 1), ("cuda:2", 1)])
def test_a_run_saved_with_the_random_numbers_of_all_gpus_goes_on_with_its_own(
    device: str, number: int, monkeypatch: pytest.MonkeyPatch
):
    """As older runs were; one of today saves those of its own GPU alone, and goes on with them on any."""
    taken: list[torch.Tensor] = []
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: taken.append(state))
    states = [torch.tensor([number], dtype=torch.uint8) for number in range(2)]
    kept = record._random_state(torch.device("cpu"))
    for saved in (states, [states[number]]):
        record._set_random_state(kept | {"cuda": saved}, torch.device(device))
    assert [int(state) for state in taken] == [number, number]
    record._set_random_state(kept | {"cuda": states}, torch.device("cpu"))  # touches no GPU
    record._set_random_state(kept, torch.device("cuda"))  # saved on the CPU
    assert len(taken) == 2


def test_hardware_gpu_is_bfloat16_on_one_device():
    hardware = composed(["model=vqvae", "hardware=gpu"]).hardware
    assert (hardware.accelerator, hardware.devices, hardware.precision) == ("gpu", 1, "bf16-mixed")


def test_what_has_no_deterministic_algorithm_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fit(*args: object, **options: object) -> None:
        raise RuntimeError(
            "nll_loss2d_forward_out_cuda_template does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism ..."
        )

    monkeypatch.setattr(pl.Trainer, "fit", fit)
    words = ["model=vqvae", *NETWORK, *IMAGES, *SMALL]
    with pytest.raises(ConfigError, match=r"deterministic=true: nll_loss2d_forward_out_cuda_template .* take warn"):
        train_in(tmp_path / "run", [*words, "trainer.deterministic=true"])
    monkeypatch.undo()
    try:
        train_in(tmp_path / "other", [*words, "trainer.deterministic=warn"])
    finally:
        torch.use_deterministic_algorithms(False)
