"""What the published recipes cost: arithmetic and memory of a training step, worked out without the hardware.

    python -m tests.benchmarks.recipes [NAME ...] [--tflops 400]

One step (forward, backward) of the recipe's model at its full size is followed operation by operation, in bfloat16
autocast: a prior with tensors that have shapes and no contents, a tokenizer, whose quantizer looks at its codes, with
one real image. FLOPs are those of matrix products, convolutions and attention, two for a multiply-add, and count the
second forward pass of activation checkpointing. Memory is the largest number of bytes that live at once; weights,
gradients and Adam's averages, 16 bytes a parameter, come on top. A batch of n needs the fixed part and n times the
other. Kernels need workspace and allocators keep more than they use: allow a fifth more.
"""

import argparse
import contextlib
import warnings
import weakref
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tests.test_experiment import composed
from tests.test_recipes import CODES, full_size
from vqgen.batch import CodeBatch, ImageBatch

NAMES = [
    "vqvae2_imagenet256", "vqvae2_imagenet256_top", "vqvae2_imagenet256_bottom",
    "vqvae2_ffhq1024", "vqvae2_ffhq1024_top", "vqvae2_ffhq1024_middle", "vqvae2_ffhq1024_bottom",
]  # fmt: skip


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, as long as anything holds them."""

    def __init__(self, given: list[Any]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operation and count what it makes."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


class Cost(NamedTuple):
    """Of a training step: `forward` and `step` in FLOPs, `memory` in bytes at its peak, without the optimiser's."""

    parameters: int
    forward: int
    step: int
    memory: int


def cost(name: str, images: int) -> Cost:
    """The cost of a recipe's step at a batch of so many images."""
    with FakeTensorMode() if name in CODES else contextlib.nullcontext():
        torch.manual_seed(0)
        model = full_size(name, "cpu").train()
        batch = _batch(name, model, images)
        parameters = [*model.parameters()]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)   # counted with the optimiser's averages
        given = [*parameters, *(p.grad for p in parameters), *model.buffers()]
        with torch.autocast("cpu", torch.bfloat16), LiveBytes(given) as live, FlopCounterMode(display=False) as flops:
            loss = model.objective(batch).loss
            forward = flops.get_total_flops()
            loss.backward()
    return Cost(sum(p.numel() for p in parameters), forward, flops.get_total_flops(), live.peak)


def _batch(name: str, model: Any, images: int) -> ImageBatch | CodeBatch:
    index = torch.arange(images)
    if name not in CODES:
        return ImageBatch(torch.rand(images, *model.shape) * 2 - 1, None, index)
    grids, num_embeddings, num_classes = CODES[name]
    codes = [torch.randint(num_embeddings, (images, *grid)) for grid in grids]
    return CodeBatch(codes, index % num_classes if num_classes else None, index)


def report(name: str, tflops: float) -> str:
    """A row of the page's table."""
    cfg = composed([f"experiment={name}"])
    one, two = cost(name, 1), cost(name, 2)
    fixed, each = 16 * one.parameters + 2 * one.memory - two.memory, two.memory - one.memory
    batch, steps = cfg.data.batch_size, cfg.trainer.max_steps
    days = one.step * batch * steps / (tflops * 1e12) / 86400
    return (
        f"| `{name}` | {one.parameters / 1e6:,.1f} M | {one.forward / 1e9:,.0f} | {one.step / 1e9:,.0f} "
        f"| {fixed / 2**30:.1f} | {each / 2**20:,.0f} | {batch:,} | {(fixed + batch * each) / 2**30:,.0f} "
        f"| {steps:,} | {days:,.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--tflops", type=float, default=400, help="that one device sustains, to turn FLOPs into days")
    options = parser.parse_args()
    columns = ["recipe", "parameters", "forward, GFLOP/image", "step, GFLOP/image", "fixed, GiB", "an image, MiB",
               "batch", "all, GiB", "steps", f"days at {options.tflops:g} TFLOP/s"]  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    warnings.filterwarnings("ignore", "Accessing the data pointer")   # which a tensor's test for contents does
    print("|---" * len(columns) + "|")
    for name in options.names:
        print(report(name, options.tflops), flush=True)


if __name__ == "__main__":
    main()
