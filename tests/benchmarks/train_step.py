"""Training steps of vqvae2 at 256x256 and of PixelSNAIL at 32x32: images/s and model FLOP utilisation.

    python -m tests.benchmarks.train_step [--models vqvae2 pixelsnail] [--variants fp32 bf16 bf16+compile]
        [--device cuda] [--batch 128] [--steps 10] [--rounds 3] [--peak-tflops 495 989]

Forward, backward and the optimiser's step on random images or codes, as `train.py` does them: with the default
configs of model=vqvae2 and model=pixelsnail (512 codes, 10 classes). A variant joins by + any of fp32 or bf16
(autocast), compile and channels_last. The fastest round counts; `of first` is its time in parts of the first variant's.

Utilisation is FLOPs of forward and backward (matrix products, convolutions and attention, counted by torch's
FlopCounterMode; two for a multiply-add) for a second, in parts of the peak that the device states for that type. The
default of --peak-tflops on a GPU is that of an H100 SXM without sparsity: 495 in fp32, whose products `train.py`
computes in TF32, and 989 in bf16. There is no default on a CPU: give both, or there is no utilisation.
"""

import argparse
from functools import cache
from os import getloadavg
from typing import Any

import torch
from omegaconf import OmegaConf

import vqgen.training.preparation
from tests.benchmarks.device import add_device, check_device, device_name, elapsed, peak_memory
from tests.benchmarks.step_cost import step_cost
from tests.conftest import composed
from vqgen.batch import CodeBatch, ImageBatch
from vqgen.runs.checkpoint import build

H100_TFLOPS = [494.7, 989.4]  # TF32 and bfloat16, dense (NVIDIA H100 SXM data sheet)
PARTS = {"fp32", "bf16", "compile", "channels_last"}
SIZES = {"vqvae2": (256, 256), "pixelsnail": (32, 32)}
BATCH = {("vqvae2", "cuda"): 128, ("pixelsnail", "cuda"): 128, ("vqvae2", "cpu"): 4, ("pixelsnail", "cpu"): 2}
COLUMNS = ["model", "batch", "variant", "images/s", "step, ms", "of first", "TFLOP/s", "utilisation", "peak, GiB"]


def model_of(name: str, size: tuple[int, int]) -> Any:
    """The model of conf/model for images, or maps of codes, of a size."""
    data = ["data=shapes", f"data.size={size[0]}"] if name == "vqvae2" else ["tokenizer=RUN"]
    cfg = composed([f"model={name}", *data])
    cfg.facts = {
        **cfg.facts,
        "variance": 1.0,
        "num_classes": 0 if name == "vqvae2" else 10,
        "grid": list(size),
        "num_embeddings": 512,
        "upper_grids": [],
        "upper_num_embeddings": [],
    }
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    torch.manual_seed(0)
    return build(config["model"]).train()


def batch_for(model: Any, images: int, device: str) -> ImageBatch | CodeBatch:
    """Images or codes without meaning."""
    index = torch.arange(images, device=device)
    if hasattr(model, "shape"):
        return ImageBatch(torch.rand(images, *model.shape, device=device) * 2 - 1, {}, index)
    codes = torch.randint(model.num_embeddings, (images, *model.grid), device=device)
    return CodeBatch([codes], {"label": index % model.num_classes} if model.num_classes else {}, index)


@cache
def flops_of_an_image(name: str, size: tuple[int, int]) -> int:
    """FLOPs of forward and backward."""
    model = model_of(name, size)
    return step_cost(model, batch_for(model, 1, "cpu")).step


class Step:
    """A model with its optimiser, ready for steps under one variant."""

    def __init__(self, name: str, size: tuple[int, int], variant: str, batch: int, device: str) -> None:
        parts = variant.split("+")
        self.model = model_of(name, size).to(device)
        vqgen.training.preparation.place(self.model, {part: part in parts for part in ("channels_last", "compile")})
        self.optimizer = self.model.optimizer(self.model.parameters())
        self.batch: Any = batch_for(self.model, batch, device)
        self.autocast = torch.autocast(device, torch.bfloat16, enabled="bf16" in parts)

    def __call__(self) -> None:
        """One step."""
        with self.autocast:
            loss = self.model.objective(self.batch).loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def measure(name: str, variants: list[str], options: argparse.Namespace) -> list[str]:
    """Rows of the table for one model; the variants take turns, so that all see the same neighbours."""
    size, device = options.size or SIZES[name], options.device
    batch = options.batch or BATCH[name, device]
    count = options.steps or (10 if device == "cuda" else 1)
    steps = {variant: Step(name, size, variant, batch, device) for variant in variants}
    memory = {}
    for variant, step in steps.items():
        for _ in range(3):  # codebooks start from data, the optimiser makes its averages, compilers compile for both
            step()
        memory[variant] = f"{_own_peak(step, steps) / 2**30:.1f}" if device == "cuda" else "-"
    fastest = dict.fromkeys(variants, float("inf"))
    for _ in range(options.rounds):
        for variant, step in steps.items():
            seconds = elapsed(lambda step=step: [step() for _ in range(count)], device) / count  # type: ignore[misc]
            fastest[variant] = min(fastest[variant], seconds)
    work = flops_of_an_image(name, size) * batch
    rows = []
    for variant, seconds in fastest.items():
        peak = options.peak_tflops and options.peak_tflops["bf16" in variant.split("+")]
        tflops = work / seconds / 1e12
        share = f"{tflops / peak:.1%}" if peak else "-"
        cells = [
            f"{name} {size[0]}x{size[1]}",
            str(batch),
            variant,
            f"{batch / seconds:{',.1f' if batch / seconds >= 100 else '.3g'}}",
            f"{1000 * seconds:,.1f}",
            f"{seconds / fastest[variants[0]]:.2f}",
            f"{tflops:.3g}",
            share,
            memory[variant],
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _own_peak(step: Step, steps: dict[str, Step]) -> int:
    """Bytes at the peak of a step, without what the other variants keep."""
    return peak_memory(step) - sum(_kept(other) for other in steps.values() if other is not step)


def _kept(step: Step) -> int:
    """Bytes of weights, gradients, averages and batch."""
    state = [x for of_one in step.optimizer.state.values() for x in of_one.values() if isinstance(x, torch.Tensor)]
    images = step.batch.codes if isinstance(step.batch, CodeBatch) else [step.batch.x]
    weights = [*step.model.parameters()]
    gradients = [p.grad for p in weights if p.grad is not None]
    return sum(x.nbytes for x in [*weights, *gradients, *step.model.buffers(), *state, *images] if x.is_cuda)


def variant(text: str) -> str:
    """A variant as typed, if all its parts are known."""
    parts = text.split("+")
    if not PARTS.issuperset(parts) or len({"fp32", "bf16"} & {*parts}) != 1:
        raise argparse.ArgumentTypeError(f"{text}: fp32 or bf16, joined by + to any of compile, channels_last")
    return text


def main(words: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_device(parser)
    parser.add_argument("--models", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--variants", nargs="+", type=variant, default=["fp32", "bf16", "bf16+compile"])
    parser.add_argument("--batch", type=int, help="128 on a GPU, 4 images or 2 maps on a CPU")
    parser.add_argument("--size", type=int, nargs=2, help="height and width: 256 256 of images, 32 32 of maps")
    parser.add_argument("--steps", type=int, help="of a round: 10 on a GPU, 1 on a CPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, nargs=2, metavar=("FP32", "BF16"), help="see above")
    options = parser.parse_args(words)
    check_device(parser, options.device)
    options.size = options.size and tuple(options.size)
    given = options.peak_tflops is not None
    if not given and options.device == "cuda":
        options.peak_tflops = H100_TFLOPS
    machine = f"{device_name(options.device)}, load {getloadavg()[0]:.1f}, torch {torch.__version__}"
    print(f"{machine}, {_peaks(options, given)}")
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for name in options.models:
        for row in measure(name, options.variants, options):
            print(row, flush=True)


def _peaks(options: argparse.Namespace, given: bool) -> str:
    if options.peak_tflops is None:
        return "no utilisation without --peak-tflops"
    fp32, bf16 = options.peak_tflops
    whose = "as given" if given else "those of an H100 SXM, the default of --peak-tflops"
    return f"peaks {fp32:g} TFLOP/s in fp32 and {bf16:g} in bf16, {whose}"


if __name__ == "__main__":
    main()
