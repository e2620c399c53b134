"""Exported files give what the models give."""

import io
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tasks import tiny
from vqgen import open_trained
from vqgen.batch import Condition
from vqgen.environment.compat import has_compiler
from vqgen.errors import UserError
from vqgen.tasks.export import Export, compare
from vqgen.tasks.programs import AOTInductor, Part, Program, TorchExport


@pytest.mark.slow
def test_the_exported_programs_give_what_the_models_give():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(3))
    files = Export("torch_export", batch_size=2)(run).files
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    top, bottom = (codes.clone() for codes in run.autoencoder.encode(x))
    programs = {name: torch.export.load(io.BytesIO(file)).module() for name, file in files.items()}
    assert all(torch.equal(a, b) for a, b in zip(programs["encoder.pt2"](x), (top, bottom), strict=True))
    assert torch.allclose(programs["decoder.pt2"](top, bottom), run.autoencoder.decode([top, bottom]), atol=1e-5)
    label = torch.tensor([2, 1])
    logits = programs["prior_bottom.pt2"](top, bottom, label)
    assert torch.allclose(logits, run.priors[1](bottom, Condition([top], {"label": label})), atol=1e-4)


def test_a_file_that_gives_something_else_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(TorchExport, "run", lambda _, contents, part: [x + 0.1 for x in part.part(*part.inputs)])
    with pytest.raises(UserError, match="the exported encoder differs from the model"):
        Export("torch_export")(tiny.trained(tiny.latent_model()))


class Half(nn.Module):
    """A model of one latent number, quick to compile."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).mean(1, keepdim=True) / 2


@pytest.mark.slow
def test_a_compiled_file_gives_in_another_process_what_the_model_gives():
    if not has_compiler():
        pytest.skip("no C++ compiler")
    x, model = torch.rand(2, 3, 16, 16) * 2 - 1, Half()
    program = Program(Part(model, model), (x,), ["x"], ["z"])
    contents = AOTInductor().save(program)
    assert torch.allclose(AOTInductor().run(contents, program)[0], model(x), atol=1e-6)
    with pytest.raises(UserError, match="format=aoti: the file does not run in another process: "):
        AOTInductor().run(contents[:100], program)


@pytest.mark.long
@pytest.mark.slow
def test_all_parts_of_a_prior_are_compiled_and_compared():
    if not has_compiler():
        pytest.skip("no C++ compiler")
    outcome = Export("aoti")(tiny.trained(tiny.vqvae2(), tiny.priors(3)[:1]))
    assert set(outcome.files) == {f"{n}.aoti.pt2" for n in ("encoder", "decoder", "prior_top")}
    assert all(record["difference"] <= 1e-3 for record in outcome.records["export"].values())


def test_without_a_compiler_it_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "nowhere/g++"))
    assert not has_compiler()
    with pytest.raises(UserError, match=r"^format=aoti needs a C\+\+ compiler, and there is none: install g\+\+"):
        Export("aoti")(tiny.trained(tiny.latent_model()))


def test_a_classifier_is_one_file():
    run = open_trained(Path(__file__).parents[1] / "runs" / "of_0_1" / "classifier", "last")
    files = Export("torch_export")(run).files
    program, x = torch.export.load(io.BytesIO(files["classifier.pt2"])).module(), run.first(1).x
    assert torch.allclose(program(x), run.model.log_prob(x), atol=1e-5)


def test_codes_are_compared_by_share_and_numbers_by_size():
    a = torch.tensor([1, 2, 3, 4])
    assert compare([a], [torch.tensor([1, 2, 3, 5])]).difference == 0.25
    assert compare([a.float()], [a + 0.04]).difference == pytest.approx(0.01, abs=1e-6)


@pytest.mark.slow
def test_onnx_runtime_gives_what_the_models_give():
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = tiny.trained(tiny.latent_model(latent_dim=5))
    outcome = Export("onnx", batch_size=2)(run)
    session = runtime.InferenceSession(outcome.files["decoder.onnx"])
    z = torch.randn(2, 5)
    found = session.run(None, {"z": z.numpy()})[0]
    assert torch.allclose(torch.from_numpy(found), run.model.decode(z), atol=1e-5)
