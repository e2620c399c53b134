"""Models as files for other programs."""

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vqgen.batch import Condition
from vqgen.errors import UserError, near_miss
from vqgen.protocols import Prior
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.task import Task, at_least, lacks_autoencoder

MAX_DIFFERENCE = 1e-3
"""Between an output of the file and of the model, relative to the largest output."""

MAX_OTHER_CODES = 1e-3
"""Share of codes that may differ: rounding decides between code vectors equally near."""


class _Part(nn.Module):
    """A method of a model as a module of its own, with flat tensors in and out."""

    def __init__(self, model: nn.Module, method: Callable[..., Tensor | list[Tensor]]) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *inputs: Tensor) -> Tensor | list[Tensor]:
        """What the method gives."""
        return self.method(*inputs)


class _Export(NamedTuple):
    """A part, its inputs, and the names of inputs and outputs."""

    part: _Part
    inputs: tuple[Tensor, ...]
    names: list[str]
    outputs: list[str]


@dataclass
class Export(Task):
    """Encoder, decoder and the priors of all levels, each in a file, run once from the file and compared.

    A prior's file gives the logits of every position of a map from the codes before it: to draw, ask for one position
    after another.

    Args:
        format: `onnx`, for ONNX Runtime and the like (needs vqgen[onnx]), or `torch_export`, for torch.export.load.
        batch_size: images at a time, fixed in the files.
    """

    format: Literal["onnx", "torch_export"] = "onnx"
    batch_size: int = 1
    lacks = staticmethod(lacks_autoencoder)

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size)
        if self.format not in ("onnx", "torch_export"):
            raise UserError(f"format={self.format}: no such format{near_miss(self.format, ['onnx', 'torch_export'])}")

    def make(self, trained: TrainedRun) -> Outcome:
        """The files, and how far their outputs are from the model's; UserError where they differ, or without ONNX."""
        onnx = self.format == "onnx"
        save, run, ending = (_to_onnx, _run_onnx, "onnx") if onnx else (_to_torch, _run_torch, "pt2")
        x = trained.first(self.batch_size).x
        if len(x) < self.batch_size:
            raise UserError(f"batch_size={self.batch_size}: the test split has {len(x)} images")
        files, records, lines = {}, {}, ["Outputs of the files against the model's:"]
        mirrored = parts(trained, x.flip(3))  # other inputs than those it was traced with
        for name, export in parts(trained, x).items():
            files[f"{name}.{ending}"] = contents = save(export)
            other = mirrored[name]
            codes, difference = compare(_flat(other.part(*other.inputs)), run(contents, other))
            record = {"codes": codes, "difference": difference, "inputs": export.names, "outputs": export.outputs}
            if difference > (MAX_OTHER_CODES if codes else MAX_DIFFERENCE):
                raise UserError(f"format={self.format}: the exported {name} differs from the model: {record}")
            records[name] = record
            lines.append(f"{name}: difference {difference:.2g}")
        return Outcome(text="\n".join(lines), records={"export": records}, files=files)


def parts(trained: TrainedRun, x: Tensor) -> dict[str, _Export]:
    """What there is to export of a run, with inputs made of the images `x`."""
    model, levels = trained.modules[0], trained.levels
    if not levels:
        latent = trained.latent
        return {
            "encoder": _Export(_Part(model, latent.encode), (x,), ["x"], ["z"]),
            "decoder": _Export(_Part(model, latent.decode), (latent.encode(x),), ["z"], ["x_hat"]),
        }
    coder, names = trained.coder, [f"codes_{name}" for name in levels]
    codes = coder.encode(x)
    found = {
        "encoder": _Export(_Part(model, coder.encode), (x,), ["x"], names),
        "decoder": _Export(_Part(model, lambda *codes: coder.decode(codes)), tuple(codes), names, ["x_hat"]),
    }
    for prior, module in zip(trained.priors, trained.modules[1:], strict=True):
        given, depth = [torch.zeros(len(x), dtype=torch.long, device=x.device) for _ in prior.takes], prior.level + 1
        part, inputs = _Part(module, _logits(module, prior)), (*codes[:depth], *given)
        found[f"prior_{levels[prior.level]}"] = _Export(part, inputs, [*names[:depth], *prior.takes], ["logits"])
    return found


def _logits(module: nn.Module, prior: Prior) -> Callable[..., Tensor]:
    """The prior's logits from flat inputs: all levels' codes down to its own, and what is given, such as the label."""

    def logits(*inputs: Tensor) -> Tensor:
        *upper, codes = inputs[: prior.level + 1]
        given = dict(zip(prior.takes, inputs[prior.level + 1 :], strict=True))
        return module(codes, Condition(upper, given))

    return logits


class Comparison(NamedTuple):
    """Whether outputs are codes, and their largest difference: the share of other codes, or relative to the largest."""

    codes: bool
    difference: float


def compare(expected: Sequence[Tensor], found: Sequence[Tensor]) -> Comparison:
    """How far the outputs of a file are from those of the model."""
    pairs = [(a.cpu(), b.cpu()) for a, b in zip(expected, found, strict=True)]
    if all(not a.is_floating_point() for a, _ in pairs):
        return Comparison(True, max(float((a != b).double().mean()) for a, b in pairs))
    return Comparison(False, max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs))


def _flat(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _to_torch(export: _Export) -> bytes:
    """The part by torch.export."""
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(export.part, export.inputs, strict=False), buffer)
    return buffer.getvalue()


def _run_torch(contents: bytes, export: _Export) -> list[Tensor]:
    return _flat(torch.export.load(io.BytesIO(contents)).module()(*export.inputs))


def _to_onnx(export: _Export) -> bytes:
    """The part by torch.onnx."""
    _onnxruntime()
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        part, inputs, names, outputs = export
        program = torch.onnx.export(part, inputs, input_names=names, output_names=outputs, dynamo=True, verbose=False)
    assert program is not None
    return program.model_proto.SerializeToString()


def _run_onnx(contents: bytes, export: _Export) -> list[Tensor]:
    runtime = _onnxruntime()
    runtime.set_default_logger_severity(3)  # errors; the rest is about what the exporter left over
    session = runtime.InferenceSession(contents, providers=["CPUExecutionProvider"])
    inputs = {name: x.cpu().numpy() for name, x in zip(export.names, export.inputs, strict=True)}
    return [torch.from_numpy(output) for output in session.run(None, inputs)]


def _onnxruntime() -> ModuleType:
    """The package onnxruntime; UserError where it or the exporter's packages are missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"format=onnx needs the package {error.name}: pip install 'vqgen[onnx]'") from None
    return onnxruntime
