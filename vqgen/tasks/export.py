"""Models as files for other programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from vqgen.batch import Condition
from vqgen.errors import UserError, near_miss
from vqgen.protocols import Classifier, Prior
from vqgen.runs.trained_run import TrainedRun
from vqgen.tasks.outcome import Outcome
from vqgen.tasks.programs import FORMATS, Part, Program, flat
from vqgen.tasks.repository import files_of, listed
from vqgen.tasks.task import Task, at_least

MAX_DIFFERENCE = 1e-3
"""Between an output of the file and of the model, relative to the largest output."""

MAX_OTHER_CODES = 1e-3
"""Share of codes that may differ: rounding decides between code vectors equally near."""

SAFETENSORS = "safetensors"
"""The format of the weights themselves, beside those of programs."""


@dataclass
class Export(Task):
    """Encoder, decoder and the priors of all levels, each in a file, run once from the file and compared.

    A prior's file gives the logits of every position of a map from the codes before it: to draw, ask for one position
    after another. A classifier is one file. `safetensors` writes the weights themselves and a config, which other
    programs read, and which are a run themselves (vqgen.runs.published).

    Args:
        format: `onnx`, for ONNX Runtime and the like (needs vqgen[onnx]); `torch_export`, for torch.export.load;
            `aoti`, compiled ahead of time for this kind of device, run in another process; or `safetensors`.
        batch_size: images at a time, fixed in the files of programs.
    """

    format: Literal["onnx", "torch_export", "aoti", "safetensors"] = "onnx"
    batch_size: int = 1

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size)
        if self.format not in (*FORMATS, SAFETENSORS):
            raise UserError(f"format={self.format}: no such format{near_miss(self.format, [*FORMATS, SAFETENSORS])}")

    @staticmethod
    def lacks(trained: TrainedRun) -> str:
        """Every run fits."""
        return ""

    def make(self, trained: TrainedRun) -> Outcome:
        """The files, and how far they are from the model; UserError where they differ, or a package is missing."""
        if self.format == SAFETENSORS:
            files = files_of(trained)
            return Outcome(text="\n".join(["Read again: every weight is the run's.", *listed(files)]), files=files)
        form = FORMATS[self.format]
        x = trained.first(self.batch_size).x
        if len(x) < self.batch_size:
            raise UserError(f"batch_size={self.batch_size}: the test split has {len(x)} images")
        files, records, lines = {}, {}, ["Outputs of the files against the model's:"]
        mirrored = parts(trained, x.flip(3))  # other inputs than those it was traced with
        for name, program in parts(trained, x).items():
            files[f"{name}.{form.ending}"] = contents = form.save(program)
            other = mirrored[name]
            codes, difference = compare(flat(other.part(*other.inputs)), form.run(contents, other))
            record = {"codes": codes, "difference": difference, "inputs": program.names, "outputs": program.outputs}
            if difference > (MAX_OTHER_CODES if codes else MAX_DIFFERENCE):
                raise UserError(f"format={self.format}: the exported {name} differs from the model: {record}")
            records[name] = record
            lines.append(f"{name}: difference {difference:.2g}")
        return Outcome(text="\n".join(lines), records={"export": records}, files=files)


def parts(trained: TrainedRun, x: Tensor) -> dict[str, Program]:
    """What there is to export of a run, with inputs made of the images `x`."""
    model, levels = trained.modules[0], trained.levels
    if isinstance(model, Classifier):
        return {"classifier": Program(Part(model, model.log_prob), (x,), ["x"], ["log_prob"])}
    if not levels:
        latent = trained.latent
        return {
            "encoder": Program(Part(model, latent.encode), (x,), ["x"], ["z"]),
            "decoder": Program(Part(model, latent.decode), (latent.encode(x),), ["z"], ["x_hat"]),
        }
    coder, names = trained.coder, [f"codes_{name}" for name in levels]
    codes = coder.encode(x)
    found = {
        "encoder": Program(Part(model, coder.encode), (x,), ["x"], names),
        "decoder": Program(Part(model, lambda *codes: coder.decode(codes)), tuple(codes), names, ["x_hat"]),
    }
    for prior in trained.priors:
        module = cast(nn.Module, prior)
        given, depth = [torch.zeros(len(x), dtype=torch.long, device=x.device) for _ in prior.takes], prior.level + 1
        part, inputs = Part(module, _logits(module, prior)), (*codes[:depth], *given)
        found[f"prior_{levels[prior.level]}"] = Program(part, inputs, [*names[:depth], *prior.takes], ["logits"])
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
