"""Parts of models as programs in files: written, and run from what was written."""

import io
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vqgen.environment.compat import RUN_PACKAGE, compile_package, has_compiler
from vqgen.errors import UserError


class Part(nn.Module):
    """A method of a model as a module of its own, with flat tensors in and out."""

    def __init__(self, model: nn.Module, method: Callable[..., Tensor | list[Tensor]]) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *inputs: Tensor) -> Tensor | list[Tensor]:
        """What the method gives."""
        return self.method(*inputs)


class Program(NamedTuple):
    """A part, its inputs, and the names of inputs and outputs."""

    part: Part
    inputs: tuple[Tensor, ...]
    names: list[str]
    outputs: list[str]


def flat(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """One output, or several, as a list."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


class Format(Protocol):
    """A kind of file."""

    ending: str

    def save(self, program: Program) -> bytes:
        """The contents of the file."""

    def run(self, contents: bytes, program: Program) -> list[Tensor]:
        """What the file gives for the program's inputs."""


class TorchExport:
    """For torch.export.load, in Python."""

    ending = "pt2"

    def save(self, program: Program) -> bytes:
        """The part by torch.export."""
        buffer = io.BytesIO()
        torch.export.save(torch.export.export(program.part, program.inputs, strict=False), buffer)
        return buffer.getvalue()

    def run(self, contents: bytes, program: Program) -> list[Tensor]:
        """In this process."""
        return flat(torch.export.load(io.BytesIO(contents)).module()(*program.inputs))


class AOTInductor:
    """Compiled ahead of time for the kind of device and processor that it is written on; runs from C++, too."""

    ending = "aoti.pt2"

    def save(self, program: Program) -> bytes:
        """The part, compiled; UserError where there is no C++ compiler."""
        if not has_compiler():
            raise UserError("format=aoti needs a C++ compiler, and there is none: install g++, or name one in CXX=")
        with TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's of its own code
            file = Path(place, "part.pt2")
            compile_package(torch.export.export(program.part, program.inputs, strict=False), file)
            return file.read_bytes()

    def run(self, contents: bytes, program: Program) -> list[Tensor]:
        """In another process, which knows nothing but the file and torch."""
        with TemporaryDirectory() as place:
            package, inputs, outputs = (Path(place, name) for name in ("part.pt2", "inputs.pt", "outputs.pt"))
            package.write_bytes(contents)
            torch.save(program.inputs, inputs)
            words = [sys.executable, "-c", RUN_PACKAGE, str(package), str(inputs), str(outputs)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
                raise UserError(f"format=aoti: the file does not run in another process: {reason}")
            return torch.load(outputs, weights_only=True)


class ONNX:
    """For ONNX Runtime and the like."""

    ending = "onnx"

    def save(self, program: Program) -> bytes:
        """The part by torch.onnx; UserError where packages are missing."""
        _onnxruntime()
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            part, inputs, names, outputs = program
            made = torch.onnx.export(part, inputs, input_names=names, output_names=outputs, dynamo=True, verbose=False)
        assert made is not None
        return made.model_proto.SerializeToString()

    def run(self, contents: bytes, program: Program) -> list[Tensor]:
        """On the CPU."""
        runtime = _onnxruntime()
        runtime.set_default_logger_severity(3)  # errors; the rest is about what the exporter left over
        session = runtime.InferenceSession(contents, providers=["CPUExecutionProvider"])
        inputs = {name: x.cpu().numpy() for name, x in zip(program.names, program.inputs, strict=True)}
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


FORMATS: dict[str, Format] = {"onnx": ONNX(), "torch_export": TorchExport(), "aoti": AOTInductor()}
